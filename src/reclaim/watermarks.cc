#include "reclaim/watermarks.h"

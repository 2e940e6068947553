#include "reclaim/levels.h"

// What the preload library shows to the program. exports.map names the same functions.
#ifndef UZSWAP_APPS_PRELOAD_EXPORTED_H_
#define UZSWAP_APPS_PRELOAD_EXPORTED_H_

#define UZ_EXPORTED __attribute__((visibility("default")))

#endif  // UZSWAP_APPS_PRELOAD_EXPORTED_H_

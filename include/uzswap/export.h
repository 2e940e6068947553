// UZSWAP_API: what the shared library exports. Everything else in it is hidden.
#ifndef UZSWAP_EXPORT_H_
#define UZSWAP_EXPORT_H_

#define UZSWAP_API __attribute__((visibility("default")))

#endif  // UZSWAP_EXPORT_H_

// Reads and writes the files of dictionaries (train/dictionary_file.h).
//
// One thread; exceptions only from allocation.
#ifndef UZSWAP_APPS_CLI_DICTIONARY_FILES_H_
#define UZSWAP_APPS_CLI_DICTIONARY_FILES_H_

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "refusal.h"

namespace uzswap::cli {

// The content, which zstd and lz4 can use. The refusal names the path and what is wrong with it.
OrRefusal<std::vector<std::byte>> ReadDictionaryFile(const std::string& path);

// Only its owner may read the file, because it contains bytes of the pages. The refusal says why it
// cannot be written.
std::optional<Refusal> WriteDictionaryFile(const std::string& path,
                                           std::span<const std::byte> content);

}  // namespace uzswap::cli

#endif  // UZSWAP_APPS_CLI_DICTIONARY_FILES_H_

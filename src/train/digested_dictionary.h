// DigestedDictionary: a Dictionary (codec/dictionary.h) with memory of its own, from the heap.
//
// Immutable after Make. Moving it does not move its memory. Any thread may use it.
#ifndef UZSWAP_TRAIN_DIGESTED_DICTIONARY_H_
#define UZSWAP_TRAIN_DIGESTED_DICTIONARY_H_

#include <cstddef>
#include <memory>
#include <span>

#include "base/result.h"
#include "codec/dictionary.h"

namespace uzswap {

class DigestedDictionary {
 public:
  // Without a dictionary: get() is nullptr.
  DigestedDictionary() = default;
  // Empty content gives none. Fails with EINVAL if the content is not a dictionary, and with
  // ENOMEM.
  static Result<DigestedDictionary> Make(std::span<const std::byte> content);

  // For CodecContext.
  [[nodiscard]] const Dictionary* get() const {
    return dictionary_.empty() ? nullptr : &dictionary_;
  }

 private:
  struct Free {
    void operator()(std::byte* memory) const;
  };
  std::unique_ptr<std::byte, Free> memory_;
  Dictionary dictionary_;
};

}  // namespace uzswap

#endif  // UZSWAP_TRAIN_DIGESTED_DICTIONARY_H_

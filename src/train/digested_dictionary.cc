#include "train/digested_dictionary.h"

#include <cerrno>
#include <cstdlib>

namespace uzswap {

void DigestedDictionary::Free::operator()(std::byte* memory) const { free(memory); }

Result<DigestedDictionary> DigestedDictionary::Make(std::span<const std::byte> content) {
  DigestedDictionary made;
  if (content.empty()) return made;
  constexpr size_t kAlign = 64;
  const size_t size = (Dictionary::MemoryFor(content.size()) + kAlign - 1) & ~(kAlign - 1);
  made.memory_.reset(static_cast<std::byte*>(aligned_alloc(kAlign, size)));
  if (made.memory_ == nullptr) return Error{ENOMEM, "tables of a dictionary"};
  if (!made.dictionary_.Digest(content, {made.memory_.get(), size})) {
    return Error{EINVAL, "content that is not a dictionary"};
  }
  return made;
}

}  // namespace uzswap

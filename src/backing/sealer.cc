#include "backing/sealer.h"

#include <sodium.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace uzswap {
namespace {

constexpr size_t kKeyBytes = crypto_aead_chacha20poly1305_ietf_KEYBYTES;
constexpr size_t kNonceBytes = crypto_aead_chacha20poly1305_ietf_NPUBBYTES;
constexpr size_t kTagBytes = crypto_aead_chacha20poly1305_ietf_ABYTES;
static_assert(sizeof(uint32_t) + kNonceBytes + kTagBytes == kSealOverhead);

// What precedes the tag; it is authenticated too.
struct Front {
  uint32_t length;   // of the encrypted bytes
  uint32_t zero;     // first part of the nonce
  uint64_t counter;  // second part
};
static_assert(sizeof(Front) == sizeof(uint32_t) + kNonceBytes);

unsigned char* Chars(std::byte* bytes) { return reinterpret_cast<unsigned char*>(bytes); }
const unsigned char* Chars(const std::byte* bytes) {
  return reinterpret_cast<const unsigned char*>(bytes);
}
const unsigned char* NonceOf(const Front& front) {
  return reinterpret_cast<const unsigned char*>(&front.zero);
}

}  // namespace

Result<void> Sealer::Init() {
  if (sodium_init() < 0) return Error{ENOSYS, "libsodium"};
  Result<os::Mapping> key = os::Mapping::Create(Bytes(kKeyBytes), "the encryption key");
  if (!key.ok()) return key.error();
  key_ = std::move(key).value();
  key_.KeepSecret();
  randombytes_buf(key_.data(), kKeyBytes);
  return {};
}

void Sealer::SealInPlace(std::span<std::byte> record) {
  UZ_CHECK_GT(record.size(), kSealOverhead);
  const size_t length = record.size() - kSealOverhead;
  const Front front = {static_cast<uint32_t>(length), 0, counter_++};
  memcpy(record.data(), &front, sizeof(front));
  std::byte* const body = record.data() + kSealOverhead;
  crypto_aead_chacha20poly1305_ietf_encrypt_detached(
      Chars(body), Chars(record.data() + sizeof(front)), nullptr, Chars(body), length,
      Chars(record.data()), sizeof(uint32_t), nullptr, NonceOf(front), Chars(key_.data()));
}

std::span<const std::byte> Sealer::Open(std::span<const std::byte> record,
                                        std::span<std::byte> scratch) const {
  Front front;
  if (record.size() < kSealOverhead) return {};
  memcpy(&front, record.data(), sizeof(front));
  if (front.length > record.size() - kSealOverhead || front.length > scratch.size()) return {};
  if (front.length == 0 || front.zero != 0) return {};
  const int refused = crypto_aead_chacha20poly1305_ietf_decrypt_detached(
      Chars(scratch.data()), nullptr, Chars(record.data() + kSealOverhead), front.length,
      Chars(record.data() + sizeof(front)), Chars(record.data()), sizeof(uint32_t), NonceOf(front),
      Chars(key_.data()));
  if (refused != 0) return {};
  return scratch.first(front.length);
}

}  // namespace uzswap

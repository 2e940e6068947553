// Readahead: recognises threads that scan memory, and says how many pages a fault should bring.
//
//     stream  next ----> end of the last run; a fault here, or a few pages on, continues the stream
//             window     1, 2, 4, .. kWindowMax pages: doubles with every fault that continues it
//
// Any other fault takes over the stream that was not used for the longest time, with a window of
// one page. So a random fault brings no neighbour, and a scan soon gets kWindowMax pages for one
// fault. Not synchronised: the owner's lock guards it.
#ifndef UZSWAP_PAGER_READAHEAD_H_
#define UZSWAP_PAGER_READAHEAD_H_

#include <cstddef>
#include <cstdint>

namespace uzswap {

class Readahead {
 public:
  static constexpr size_t kWindowMax = 32;

  // How many pages to bring for a fault at `address`. The same again for a fault that is tried
  // again.
  size_t Window(uint64_t address) {
    ++clock_;
    Stream* oldest = &streams_[0];
    for (Stream& stream : streams_) {
      if (address - stream.next < kReach) {
        current_ = &stream;
        stream.used = clock_;
        if (stream.asked == address) return stream.window;
        stream.asked = address;
        stream.window = stream.window * 2 < kWindowMax ? stream.window * 2 : kWindowMax;
        return stream.window;
      }
      if (stream.used < oldest->used) oldest = &stream;
    }
    current_ = oldest;
    *oldest = {address, address, 1, clock_};
    return 1;
  }
  // The run for which Window() was called ended at `end`: a fault there continues the stream.
  void NoteEnd(uint64_t end) { current_->next = end; }

 private:
  static constexpr size_t kStreams = 8;
  static constexpr uint64_t kReach = 8 << 12;

  struct Stream {
    uint64_t next = UINT64_MAX;
    uint64_t asked = UINT64_MAX;  // the last fault of the stream
    size_t window = 1;
    uint64_t used = 0;
  };

  Stream streams_[kStreams];
  Stream* current_ = &streams_[0];
  uint64_t clock_ = 0;
};

}  // namespace uzswap

#endif  // UZSWAP_PAGER_READAHEAD_H_

// The binary interface of userfaultfd(2), of PAGEMAP_SCAN and of PROCMAP_QUERY.
//
// The kernel headers of a distribution may be older than the running kernel. Debian 12 has those of
// Linux 6.1, without MOVE, WP_ASYNC and PAGEMAP_SCAN. So the interface is declared here from its
// documentation, with our own names. Whether the running kernel has a feature is tested at run time
// (os/probe.h), never at compile time.
//
//   open             fd = userfaultfd(flags)            or ioctl(/dev/userfaultfd, kUffdioNew)
//   handshake        kUffdioApi, once per userfaultfd; unknown features: EINVAL, struct zeroed
//   ranges           kUffdioRegister, kUffdioUnregister
//   resolve faults   kUffdioCopy, kUffdioZeropage, kUffdioMove, kUffdioContinue, kUffdioPoison,
//                    kUffdioWriteProtect, kUffdioWake
//   messages         read() returns as many UffdMessage structures as fit
//
//     UffdMessage   | event | pad 7 bytes | union of 24 bytes, one member per event |
//                     8-bit                 page fault, fork, remap, remove / unmap
//
// The last signed member of each structure that resolves faults is the kernel's answer: the bytes
// done, or a negative errno. If the call stopped in the middle it fails, and the member has the
// bytes done. 0 and -EAGAIN both mean that nothing was done. Plain data: any thread may use it.
#ifndef UZSWAP_OS_UFFD_ABI_H_
#define UZSWAP_OS_UFFD_ABI_H_

#include <sys/ioctl.h>

#include <cstddef>
#include <cstdint>

namespace uzswap::os::abi {

// userfaultfd(2), for systems whose C library has no name for it.
#if defined(__x86_64__)
inline constexpr long kSysUserfaultfd = 323;
#elif defined(__aarch64__) || (defined(__riscv) && __riscv_xlen == 64)
inline constexpr long kSysUserfaultfd = 282;
#else
#error "uzswap has the number of userfaultfd(2) for x86-64, arm64 and riscv64 only"
#endif

// Flag of the call: serve faults of user mode only. It needs no privilege, but a system call that
// accesses a missing page fails with EFAULT.
inline constexpr int kUffdUserModeOnly = 1;

inline constexpr uint64_t kUffdApi = 0xAA;

// Features, in UffdioApi::features.
inline constexpr uint64_t kUffdFeaturePagefaultFlagWp = uint64_t{1} << 0;
inline constexpr uint64_t kUffdFeatureEventFork = uint64_t{1} << 1;  // needs CAP_SYS_PTRACE
inline constexpr uint64_t kUffdFeatureEventRemap = uint64_t{1} << 2;
inline constexpr uint64_t kUffdFeatureEventRemove = uint64_t{1} << 3;
inline constexpr uint64_t kUffdFeatureMissingHugetlbfs = uint64_t{1} << 4;
inline constexpr uint64_t kUffdFeatureMissingShmem = uint64_t{1} << 5;
inline constexpr uint64_t kUffdFeatureEventUnmap = uint64_t{1} << 6;
inline constexpr uint64_t kUffdFeatureSigbus = uint64_t{1} << 7;
inline constexpr uint64_t kUffdFeatureThreadId = uint64_t{1} << 8;
inline constexpr uint64_t kUffdFeatureMinorHugetlbfs = uint64_t{1} << 9;
inline constexpr uint64_t kUffdFeatureMinorShmem = uint64_t{1} << 10;
inline constexpr uint64_t kUffdFeatureExactAddress = uint64_t{1} << 11;
inline constexpr uint64_t kUffdFeatureWpHugetlbfsShmem = uint64_t{1} << 12;
inline constexpr uint64_t kUffdFeatureWpUnpopulated = uint64_t{1} << 13;  // 6.4
inline constexpr uint64_t kUffdFeaturePoison = uint64_t{1} << 14;         // 6.6
inline constexpr uint64_t kUffdFeatureWpAsync = uint64_t{1} << 15;        // 6.7
inline constexpr uint64_t kUffdFeatureMove = uint64_t{1} << 16;           // 6.8

struct UffdioApi {
  uint64_t api;       // in: kUffdApi
  uint64_t features;  // in: requested; out: all features of the kernel
  uint64_t ioctls;    // out: bit set of 1 << number
};

struct UffdioRange {
  uint64_t start;
  uint64_t length;
};

inline constexpr uint64_t kUffdRegisterModeMissing = uint64_t{1} << 0;
inline constexpr uint64_t kUffdRegisterModeWp = uint64_t{1} << 1;
inline constexpr uint64_t kUffdRegisterModeMinor = uint64_t{1} << 2;

struct UffdioRegister {
  UffdioRange range;
  uint64_t mode;
  uint64_t ioctls;  // out
};

inline constexpr uint64_t kUffdCopyModeDontWake = uint64_t{1} << 0;
inline constexpr uint64_t kUffdCopyModeWp = uint64_t{1} << 1;

struct UffdioCopy {
  uint64_t destination;
  uint64_t source;
  uint64_t length;
  uint64_t mode;
  int64_t copied;  // out
};

inline constexpr uint64_t kUffdZeropageModeDontWake = uint64_t{1} << 0;

struct UffdioZeropage {
  UffdioRange range;
  uint64_t mode;
  int64_t zeroed;  // out
};

inline constexpr uint64_t kUffdMoveModeDontWake = uint64_t{1} << 0;
// The call skips holes of the source instead of failing with ENOENT.
inline constexpr uint64_t kUffdMoveModeAllowSourceHoles = uint64_t{1} << 1;

struct UffdioMove {
  uint64_t destination;
  uint64_t source;
  uint64_t length;
  uint64_t mode;
  int64_t moved;  // out
};

inline constexpr uint64_t kUffdWriteProtectModeWp = uint64_t{1} << 0;
inline constexpr uint64_t kUffdWriteProtectModeDontWake = uint64_t{1} << 1;

struct UffdioWriteProtect {
  UffdioRange range;
  uint64_t mode;
};

inline constexpr uint64_t kUffdContinueModeDontWake = uint64_t{1} << 0;
inline constexpr uint64_t kUffdContinueModeWp = uint64_t{1} << 1;

struct UffdioContinue {
  UffdioRange range;
  uint64_t mode;
  int64_t mapped;  // out
};

inline constexpr uint64_t kUffdPoisonModeDontWake = uint64_t{1} << 0;

struct UffdioPoison {
  UffdioRange range;
  uint64_t mode;
  int64_t updated;  // out
};

// Numbers of the calls, for the bit sets in UffdioApi::ioctls and UffdioRegister::ioctls.
inline constexpr unsigned kUffdioRegisterNumber = 0x00;
inline constexpr unsigned kUffdioUnregisterNumber = 0x01;
inline constexpr unsigned kUffdioWakeNumber = 0x02;
inline constexpr unsigned kUffdioCopyNumber = 0x03;
inline constexpr unsigned kUffdioZeropageNumber = 0x04;
inline constexpr unsigned kUffdioMoveNumber = 0x05;
inline constexpr unsigned kUffdioWriteProtectNumber = 0x06;
inline constexpr unsigned kUffdioContinueNumber = 0x07;
inline constexpr unsigned kUffdioPoisonNumber = 0x08;
inline constexpr unsigned kUffdioApiNumber = 0x3F;

inline constexpr unsigned long kUffdioNew = _IO(0xAA, 0x00);  // on /dev/userfaultfd
inline constexpr unsigned long kUffdioApi = _IOWR(0xAA, kUffdioApiNumber, UffdioApi);
inline constexpr unsigned long kUffdioRegister = _IOWR(0xAA, kUffdioRegisterNumber, UffdioRegister);
// These two calls only pass data in. The kernel defines them with _IOR by mistake.
inline constexpr unsigned long kUffdioUnregister = _IOR(0xAA, kUffdioUnregisterNumber, UffdioRange);
inline constexpr unsigned long kUffdioWake = _IOR(0xAA, kUffdioWakeNumber, UffdioRange);
inline constexpr unsigned long kUffdioCopy = _IOWR(0xAA, kUffdioCopyNumber, UffdioCopy);
inline constexpr unsigned long kUffdioZeropage = _IOWR(0xAA, kUffdioZeropageNumber, UffdioZeropage);
inline constexpr unsigned long kUffdioMove = _IOWR(0xAA, kUffdioMoveNumber, UffdioMove);
inline constexpr unsigned long kUffdioWriteProtect =
    _IOWR(0xAA, kUffdioWriteProtectNumber, UffdioWriteProtect);
inline constexpr unsigned long kUffdioContinue = _IOWR(0xAA, kUffdioContinueNumber, UffdioContinue);
inline constexpr unsigned long kUffdioPoison = _IOWR(0xAA, kUffdioPoisonNumber, UffdioPoison);

enum class UffdEvent : uint8_t {
  kPagefault = 0x12,
  kFork = 0x13,
  kRemap = 0x14,
  kRemove = 0x15,
  kUnmap = 0x16,
};

inline constexpr uint64_t kUffdPagefaultFlagWrite = uint64_t{1} << 0;
inline constexpr uint64_t kUffdPagefaultFlagWp = uint64_t{1} << 1;
inline constexpr uint64_t kUffdPagefaultFlagMinor = uint64_t{1} << 2;

struct UffdMessage {
  struct Pagefault {
    uint64_t flags;
    uint64_t address;
    uint32_t thread_id;  // with kUffdFeatureThreadId
  };
  struct Fork {
    uint32_t descriptor;
  };
  struct Remap {
    uint64_t from;
    uint64_t to;
    uint64_t length;
  };
  struct Remove {  // kRemove and kUnmap
    uint64_t start;
    uint64_t end;
  };

  UffdEvent event;
  uint8_t reserved1;
  uint16_t reserved2;
  uint32_t reserved3;
  union {
    Pagefault pagefault;
    Fork fork;
    Remap remap;
    Remove remove;
  };
};

// PAGEMAP_SCAN, on /proc/PID/pagemap (Linux 6.7): finds runs of pages by category.
inline constexpr uint64_t kPageIsWpAllowed = uint64_t{1} << 0;
inline constexpr uint64_t kPageIsWritten = uint64_t{1} << 1;
inline constexpr uint64_t kPageIsFile = uint64_t{1} << 2;
inline constexpr uint64_t kPageIsPresent = uint64_t{1} << 3;
inline constexpr uint64_t kPageIsSwapped = uint64_t{1} << 4;
inline constexpr uint64_t kPageIsPfnZero = uint64_t{1} << 5;
inline constexpr uint64_t kPageIsHuge = uint64_t{1} << 6;
inline constexpr uint64_t kPageIsSoftDirty = uint64_t{1} << 7;  // 6.8

inline constexpr uint64_t kPagemapScanWpMatching = uint64_t{1} << 0;
inline constexpr uint64_t kPagemapScanCheckWpAsync = uint64_t{1} << 1;

struct PagemapRegion {
  uint64_t start;
  uint64_t end;
  uint64_t categories;
};

struct PagemapScan {
  uint64_t size;  // in: sizeof(PagemapScan)
  uint64_t flags;
  uint64_t start;
  uint64_t end;
  uint64_t walk_end;  // out: where the scan stopped
  uint64_t vector;    // address of an array of PagemapRegion, or 0
  uint64_t vector_length;
  uint64_t pages_max;            // 0: no limit
  uint64_t category_inverted;    // categories that are inverted before matching
  uint64_t category_mask;        // a page must have all of these
  uint64_t category_anyof_mask;  // a page must have at least one of these
  uint64_t return_mask;
};

inline constexpr unsigned long kPagemapScan = _IOWR('f', 16, PagemapScan);

static_assert(sizeof(UffdioApi) == 24 && kUffdioApi == 0xC018AA3F);
static_assert(sizeof(UffdioRange) == 16 && kUffdioUnregister == 0x8010AA01);
static_assert(kUffdioWake == 0x8010AA02 && kUffdioNew == 0xAA00);
static_assert(sizeof(UffdioRegister) == 32 && kUffdioRegister == 0xC020AA00);
static_assert(sizeof(UffdioCopy) == 40 && kUffdioCopy == 0xC028AA03);
static_assert(sizeof(UffdioZeropage) == 32 && kUffdioZeropage == 0xC020AA04);
static_assert(sizeof(UffdioMove) == 40 && kUffdioMove == 0xC028AA05);
static_assert(offsetof(UffdioMove, moved) == 32);
static_assert(sizeof(UffdioWriteProtect) == 24 && kUffdioWriteProtect == 0xC018AA06);
static_assert(sizeof(UffdioContinue) == 32 && kUffdioContinue == 0xC020AA07);
static_assert(sizeof(UffdioPoison) == 32 && kUffdioPoison == 0xC020AA08);
static_assert(sizeof(UffdMessage) == 32 && offsetof(UffdMessage, pagefault) == 8);
static_assert(offsetof(UffdMessage, remap) == 8 && offsetof(UffdMessage::Remap, length) == 16);
static_assert(offsetof(UffdMessage::Pagefault, thread_id) == 16);
static_assert(sizeof(PagemapRegion) == 24);

// PROCMAP_QUERY, on /proc/PID/maps (Linux 6.11): finds the mapping of one address.
struct ProcmapQuery {
  uint64_t size;  // in: sizeof(ProcmapQuery)
  uint64_t query_flags;
  uint64_t query_address;
  uint64_t start;  // out, like all members up to `minor`
  uint64_t end;
  uint64_t flags;
  uint64_t page_size;
  uint64_t offset;
  uint64_t inode;
  uint32_t major;
  uint32_t minor;
  uint32_t name_size;  // 0: do not return the name
  uint32_t build_id_size;
  uint64_t name_address;
  uint64_t build_id_address;
};
inline constexpr unsigned long kProcmapQuery = _IOWR('f', 17, ProcmapQuery);
inline constexpr uint64_t kProcmapReadable = 1;
inline constexpr uint64_t kProcmapWritable = 2;
inline constexpr uint64_t kProcmapExecutable = 4;
inline constexpr uint64_t kProcmapShared = 8;
static_assert(sizeof(ProcmapQuery) == 104 && kProcmapQuery == 0xC0686611);

static_assert(sizeof(PagemapScan) == 96 && kPagemapScan == 0xC0606610);

}  // namespace uzswap::os::abi

#endif  // UZSWAP_OS_UFFD_ABI_H_

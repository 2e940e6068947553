// The nbdkit plugin "uzswap": a compressed disk in memory, whose coldest blocks go to a file.
//
//   nbdkit uzswap size=16G limit=2G [backing=PATH] [backing-limit=SIZE] [compression=auto|lz4|zstd]
//                 [encrypt=true]
//
// The disk is made after nbdkit has gone into the background, because a forked child must not use
// it. All connections share it, and requests are served in parallel.
#define NBDKIT_API_VERSION 2
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <nbdkit-plugin.h>
#include <string>
#include <string_view>
#include <utility>

#include "block_disk.h"

namespace {

using uzswap::BlockDisk;
using uzswap::PageCache;

struct Settings {
  int64_t size = -1;
  PageCache::Options cache;
  std::string backing;
};
Settings g_settings;
std::unique_ptr<BlockDisk> g_disk;

// -1, after a message, if the value is no size.
int SetSize(const char* value, uint64_t* to) {
  const int64_t size = nbdkit_parse_size(value);
  if (size < 0) return -1;
  *to = static_cast<uint64_t>(size);
  return 0;
}

int SetBool(const char* value, bool* to) {
  const int parsed = nbdkit_parse_bool(value);
  if (parsed < 0) return -1;
  *to = parsed != 0;
  return 0;
}

int SetBacking(const char* value) {
  char* path = nbdkit_absolute_path(value);
  if (path == nullptr) return -1;
  g_settings.backing = path;
  std::free(path);
  return 0;
}

int SetCompression(const char* value) {
  constexpr std::pair<const char*, PageCache::Compression> kNames[] = {
      {"auto", PageCache::Compression::kAuto},
      {"lz4", PageCache::Compression::kLz4},
      {"zstd", PageCache::Compression::kZstd}};
  for (const auto& [name, compression] : kNames) {
    if (std::strcmp(value, name) != 0) continue;
    g_settings.cache.compression = compression;
    return 0;
  }
  nbdkit_error("compression=%s: it must be auto, lz4 or zstd", value);
  return -1;
}

int Config(const char* key, const char* value) {
  const std::string_view name(key);
  PageCache::Options& cache = g_settings.cache;
  if (name == "size") {
    g_settings.size = nbdkit_parse_size(value);
    return g_settings.size < 0 ? -1 : 0;
  }
  if (name == "limit") return SetSize(value, &cache.memory_bytes);
  if (name == "backing") return SetBacking(value);
  if (name == "backing-limit") return SetSize(value, &cache.backing_bytes);
  if (name == "compression") return SetCompression(value);
  if (name == "encrypt") return SetBool(value, &cache.encrypt);
  nbdkit_error("unknown parameter '%s'; see nbdkit uzswap --help", key);
  return -1;
}

int ConfigComplete() {
  if (g_settings.size < 0) {
    nbdkit_error("size is missing: give size=SIZE, the size of the disk");
    return -1;
  }
  if (g_settings.cache.memory_bytes < PageCache::kMemoryBytesMin) {
    nbdkit_error("limit is missing or too small: give limit=SIZE, at least 1M of memory");
    return -1;
  }
  return 0;
}

// A block device waits while it is busy; ENOSPC is for a medium that is full.
constexpr uint32_t kStoreTimeoutMs = 60'000;

int AfterFork() {
  g_settings.cache.store_timeout_ms = kStoreTimeoutMs;
  if (!g_settings.backing.empty()) g_settings.cache.backing = g_settings.backing.c_str();
  auto cache = PageCache::Open(g_settings.cache);
  if (!cache.ok()) {
    const uzswap::Error error = cache.error();
    nbdkit_error("%s: %s", error.what, std::strerror(error.errno_value));
    return -1;
  }
  auto disk = BlockDisk::Open(std::move(cache).value(), static_cast<uint64_t>(g_settings.size));
  if (!disk.ok()) {
    nbdkit_error("%s: %s", disk.error().what, std::strerror(disk.error().errno_value));
    return -1;
  }
  g_disk = std::move(disk).value();
  return 0;
}

void Cleanup() {
  if (g_disk == nullptr) return;
  const PageCache::Statistics counts = g_disk->statistics();
  nbdkit_debug("uzswap: %" PRIu64 " blocks, %" PRIu64 " on disk, %" PRIu64 " bytes of memory",
               counts.units, counts.units_on_disk, counts.memory_bytes);
  g_disk.reset();
}

void DumpPlugin() {
  std::printf("uzswap_block_size=%" PRIu64 "\n", BlockDisk::kBlockBytes);
  std::printf("uzswap_compression=auto,lz4,zstd\n");
}

void* OpenConnection(int /*readonly*/) { return NBDKIT_HANDLE_NOT_NEEDED; }
int64_t GetSize(void* /*handle*/) { return g_settings.size; }
int Yes(void* /*handle*/) { return 1; }
// Nothing of the disk outlives the server, so what was written is as safe as it will be.
int CanFua(void* /*handle*/) { return NBDKIT_FUA_NATIVE; }
int CanCache(void* /*handle*/) { return NBDKIT_CACHE_EMULATE; }
int Flush(void* /*handle*/, uint32_t /*flags*/) { return 0; }

int BlockSize(void* /*handle*/, uint32_t* minimum, uint32_t* preferred, uint32_t* maximum) {
  *minimum = 1;
  *preferred = static_cast<uint32_t>(BlockDisk::kBlockBytes);
  *maximum = UINT32_MAX;
  return 0;
}

int Report(int error, const char* what) {
  if (error == 0) return 0;
  nbdkit_error("%s: %s", what,
               error == ENOSPC ? "the memory limit is reached, and nothing more can be written back"
                               : "a block cannot be read back");
  nbdkit_set_error(error);
  return -1;
}

int Pread(void* /*handle*/, void* buffer, uint32_t count, uint64_t offset, uint32_t /*flags*/) {
  return Report(g_disk->Read(offset, {static_cast<std::byte*>(buffer), count}), "pread");
}
int Pwrite(void* /*handle*/, const void* buffer, uint32_t count, uint64_t offset,
           uint32_t /*flags*/) {
  return Report(g_disk->Write(offset, {static_cast<const std::byte*>(buffer), count}), "pwrite");
}
// Zeroes take no memory with or without NBDKIT_FLAG_MAY_TRIM.
int Zero(void* /*handle*/, uint32_t count, uint64_t offset, uint32_t /*flags*/) {
  return Report(g_disk->Zero(offset, count), "zero");
}

int Extents(void* /*handle*/, uint32_t count, uint64_t offset, uint32_t flags,
            nbdkit_extents* extents) {
  const uint64_t end = offset + count;
  while (offset < end) {
    const BlockDisk::Extent extent = g_disk->ExtentAt(offset, end - offset);
    const uint32_t type = extent.holds_data ? 0 : NBDKIT_EXTENT_HOLE | NBDKIT_EXTENT_ZERO;
    if (nbdkit_add_extent(extents, offset, extent.length, type) != 0) return -1;
    if ((flags & NBDKIT_FLAG_REQ_ONE) != 0) break;
    offset += extent.length;
  }
  return 0;
}

constexpr char kHelp[] =
    "size=<SIZE>      (required) The size of the disk.\n"
    "limit=<SIZE>     (required) Memory for compressed blocks.\n"
    "backing=<PATH>   A new file, a directory, or a block device for the coldest blocks.\n"
    "backing-limit=<SIZE>\n"
    "                 At most so much of it.\n"
    "compression=auto|lz4|zstd\n"
    "                 How blocks are compressed. The default is auto.\n"
    "encrypt=<BOOL>   Encrypt what is written to backing.";

nbdkit_plugin MakePlugin() {
  nbdkit_plugin plugin{};
  plugin.name = "uzswap";
  plugin.longname = "compressed disk in memory, with writeback";
  plugin.version = UZSWAP_VERSION;
  plugin.description = "A disk whose blocks are compressed in memory; the coldest go to a file";
  plugin.config = Config;
  plugin.config_complete = ConfigComplete;
  plugin.config_help = kHelp;
  plugin.magic_config_key = "size";
  plugin.after_fork = AfterFork;
  plugin.cleanup = Cleanup;
  plugin.dump_plugin = DumpPlugin;
  plugin.open = OpenConnection;
  plugin.get_size = GetSize;
  plugin.can_multi_conn = Yes;
  plugin.can_flush = Yes;
  plugin.can_trim = Yes;
  plugin.can_zero = Yes;
  plugin.can_fast_zero = Yes;
  plugin.can_extents = Yes;
  plugin.can_fua = CanFua;
  plugin.can_cache = CanCache;
  plugin.block_size = BlockSize;
  plugin.pread = Pread;
  plugin.pwrite = Pwrite;
  plugin.flush = Flush;
  plugin.trim = Zero;
  plugin.zero = Zero;
  plugin.extents = Extents;
  return plugin;
}

nbdkit_plugin plugin = MakePlugin();

}  // namespace

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL
NBDKIT_REGISTER_PLUGIN(plugin)

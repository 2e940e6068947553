// LoadedLibraries: the libraries that the dynamic linker has loaded, in the order of symbol lookup.
//
//   executable ──> libraries of LD_PRELOAD ──> libraries that these need, breadth first ──> ...
//                     └─ uzswap's preload library ──> Next ...
//
// Read from the list that the dynamic linker keeps for debuggers (_r_debug). No lock is taken, so
// the list must not change meanwhile: for the constructor of the preload library only, which runs
// before any code of the program.
#ifndef UZSWAP_APPS_PRELOAD_LOADED_LIBRARIES_H_
#define UZSWAP_APPS_PRELOAD_LOADED_LIBRARIES_H_

namespace uzswap {

// The function that the program would call without uzswap: the first one of this name after
// uzswap's preload library. Null if there is none.
const void* NextFunction(const char* name);
template <typename Function>
void FindNext(const char* name, Function** function) {
  *function = reinterpret_cast<Function*>(const_cast<void*>(NextFunction(name)));
}

// The path with which the preload library was loaded, as in LD_PRELOAD. Null if it is not in the
// list.
const char* OwnLibraryPath();

// The name of the tool that the process runs under, for a message: a sanitizer's runtime or
// valgrind. Null for an ordinary program.
const char* FindInstrumentation();

}  // namespace uzswap

#endif  // UZSWAP_APPS_PRELOAD_LOADED_LIBRARIES_H_

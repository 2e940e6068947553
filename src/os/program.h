// The program: the process that uzswap was loaded into, as service threads find it.
//
// A service thread can be in a process of its own (os/thread.h), whose /proc/self is not the
// program's. What belongs to the memory (statm, maps, pagemap) is the same in both. What belongs to
// the process (task, fd) is not.
//
//     program   NoteProgram ──> pid, pid in /proc, thread id word
//                                      │
//     service   ProgramPath("fd/2") ───┴──> /proc/4711/fd/2
//
// Before NoteProgram, and for tests, the program is the calling process: /proc/self.
//
// NoteProgram: the program's thread that starts service threads, before it starts one; in a forked
// child once more. All others: any thread.
#ifndef UZSWAP_OS_PROGRAM_H_
#define UZSWAP_OS_PROGRAM_H_

#include <cstdint>

#include "os/text_line.h"

namespace uzswap::os {

void NoteProgram();

// In the PID namespace of the program.
uint32_t ProgramPid();
// A pidfd of it, which belongs to the caller, or -1.
int OpenProgramPidfd();

// True in a service thread with a process of its own.
bool OutsideProgram();

// "/proc/PID/" and `leaf`. PID is that of the mounted /proc, which can be of another namespace.
using ProcPath = TextLine<64>;
ProcPath ProgramPath(const char* leaf);

// The program can mount another /proc after NoteProgram. Finds its number in the one that the
// caller sees, by a pidfd of the program.
void FindProgramInProc(int pidfd);

// The word that the kernel clears when the thread that called NoteProgram exits or execs
// (set_tid_address), or null if the kernel does not tell. The C library keeps the thread's id in
// it.
const uint32_t* ProgramThreadWord();

// Ends the program at once: its memory would be wrong. Does nothing inside of the program, which
// the caller ends by itself.
void KillProgram();

// Outside of the program: the program's handlers do not run here, and a memory error in a service
// thread ends the program too, with the line of a panic. Once for each process of service threads;
// then UnblockFaults in each of its threads.
void UseOwnSignals();
void UnblockFaults();

}  // namespace uzswap::os

#endif  // UZSWAP_OS_PROGRAM_H_

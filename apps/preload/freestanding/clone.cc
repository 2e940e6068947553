// clone: the interface of clone(2) in the C library, under the name that the linker gives to
// uzswap's own calls (freestanding.h).
#include "raw_syscall.h"

extern "C" {

// For the code below. The child never comes here.
__attribute__((used)) int uzswap_clone_result(long result);
int uzswap_clone_result(long result) {
  return static_cast<int>(uzswap::freestanding::Checked(result));
}

// int clone(int (*body)(void*), void* stack, int flags, void* argument, pid_t* parent_tid,
//           void* tls, pid_t* child_tid)
//
// The body and its argument are passed on the new stack. The child's frame has no caller.
__asm__(R"(
  .pushsection .text
  .globl __wrap_clone
  .hidden __wrap_clone
  .type __wrap_clone, @function
__wrap_clone:
  .cfi_startproc
  and $-16, %rsi
  sub $16, %rsi
  mov %rdi, (%rsi)
  mov %rcx, 8(%rsi)
  movslq %edx, %rdi
  mov %r8, %rdx
  mov %r9, %r8
  mov 8(%rsp), %r10
  mov $56, %eax
  syscall
  test %rax, %rax
  jz 1f
  mov %rax, %rdi
  jmp uzswap_clone_result
1:
  .cfi_undefined %rip
  xor %ebp, %ebp
  pop %rax
  pop %rdi
  call *%rax
  mov %eax, %edi
  mov $60, %eax
  syscall
  hlt
  .cfi_endproc
  .size __wrap_clone, . - __wrap_clone
  .popsection
)");

}  // extern "C"

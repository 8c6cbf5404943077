"""A seccomp filter for programs that a model wrote: no new process, no socket, no way out.

Namespaces decide what a program can see; this decides what it can ask of the kernel at all. Threads
stay, for they end with their process. What is refused fails as if forbidden, so that a program gets
an exception instead of being killed for a call that a library makes in passing.
"""

import errno
import struct

_ALLOW, _KILL, _FAIL = 0x7FFF0000, 0x80000000, 0x00050000  # SECCOMP_RET_*; errno is added to FAIL
_LOAD, _EQUAL, _AT_LEAST, _HAS_BITS, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06  # BPF codes
_NUMBER, _MACHINE, _FIRST_ARGUMENT = 0, 4, 16  # where they stand in struct seccomp_data
_CLONE_THREAD = 0x10000
_X32 = 0x40000000  # the x32 calls of an x86-64 kernel have numbers of their own

# fork, vfork, ptrace, process_vm_readv and _writev, mount, umount2, pivot_root, chroot, unshare,
# setns, keyctl, add_key, request_key, bpf, perf_event_open, userfaultfd, open_by_handle_at, shmget,
# msgget, semget, mq_open, memfd_create (memory that no limit counts), socket
_REFUSED = {
    "x86_64": (57, 58, 101, 310, 311, 165, 166, 155, 161, 272, 308, 250, 248, 249, 321, 298, 323,
               304, 29, 68, 64, 240, 319, 41),
    "aarch64": (117, 270, 271, 40, 39, 41, 51, 97, 268, 219, 217, 218, 280, 241, 282, 265, 194,
                186, 190, 180, 279, 198),
}  # fmt: skip
# io_uring_setup, open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, mount_setattr,
# memfd_secret: since Linux 5.1 a call has the same number everywhere
_REFUSED_EVERYWHERE = (425, 428, 429, 430, 431, 432, 433, 442, 447)
_CLONE3 = 435
_CLONE = {"x86_64": 56, "aarch64": 220}
_AUDIT_NAMES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
MACHINES = tuple(_REFUSED)


def system_call_filter(machine: str) -> bytes:
    """The filter for one of MACHINES, as `bwrap --seccomp` reads it."""
    fail = _FAIL | errno.EPERM
    program = [
        (_LOAD, 0, 0, _MACHINE),
        (_EQUAL, 1, 0, _AUDIT_NAMES[machine]),
        (_RETURN, 0, 0, _KILL),  # 32-bit calls
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _KILL),
    ]
    for number in (*_REFUSED[machine], *_REFUSED_EVERYWHERE):
        program += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, fail)]
    program += [
        # its flags lie in memory, out of our sight; a C library that has no clone3 uses clone
        (_EQUAL, 0, 1, _CLONE3),
        (_RETURN, 0, 0, _FAIL | errno.ENOSYS),
        (_EQUAL, 0, 3, _CLONE[machine]),
        (_LOAD, 0, 0, _FIRST_ARGUMENT),
        (_HAS_BITS, 1, 0, _CLONE_THREAD),
        (_RETURN, 0, 0, fail),
        (_RETURN, 0, 0, _ALLOW),
    ]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)

# From the boot loader's 32-bit mode to `start` in 64-bit mode, and from the program's system calls to `call`.

.section .multiboot, "a"
.balign 4
# Modules on whole pages.
.long 0x1badb002, 1, -(0x1badb002 + 1)

.section .text.boot, "ax"
.code32
.global boot
boot:
    cli
    cld
    # What the boot loader says, for `start`.
    mov ebp, ebx

    # The first 4 GiB where they are, in pages of 2 MiB: one table of level 4, one of level 3, four of level 2.
    mov dword ptr [tables], offset tables + 0x1000 + 3
    mov eax, offset tables + 0x2000 + 3
    mov edi, offset tables + 0x1000
    mov ecx, 4
1:  mov [edi], eax
    add eax, 0x1000
    add edi, 8
    loop 1b
    mov eax, 0x83
    mov edi, offset tables + 0x2000
    mov ecx, 4 * 512
2:  mov [edi], eax
    add eax, 0x200000
    add edi, 8
    loop 2b
    mov eax, offset tables
    mov cr3, eax

    # PAE, and that SSE and XSAVE are taken care of.
    mov eax, (1 << 5) | (1 << 9) | (1 << 10) | (1 << 18)
    mov cr4, eax
    # EFER: long mode and system calls.
    mov ecx, 0xc0000080
    rdmsr
    or eax, (1 << 8) | 1
    wrmsr
    # Paging, and a floating-point unit that is there.
    mov eax, cr0
    and eax, ~(1 << 2)
    or eax, (1 << 31) | (1 << 1)
    mov cr0, eax
    lgdt [segments_at]
    ljmp 0x08, offset long_mode

.balign 8
segments:
    .quad 0, 0x00af9a000000ffff, 0x00cf92000000ffff
segments_at:
    .word . - segments - 1
    .long segments

.code64
long_mode:
    mov ax, 0x10
    mov ds, ax
    mov es, ax
    mov ss, ax
    xor eax, eax
    mov fs, ax
    mov gs, ax
    lea rsp, stack_top[rip]

    # XCR0: x87, SSE, AVX and the three parts of AVX-512, as far as the processor has them.
    mov eax, 0xd
    xor ecx, ecx
    cpuid
    and eax, 0xe7
    xor edx, edx
    xor ecx, ecx
    xsetbv

    # Calls come to `enter`, with the segments of here (the program has the same privileges), and the direction flag clear.
    mov ecx, 0xc0000081
    xor eax, eax
    mov edx, 0x08
    wrmsr
    mov ecx, 0xc0000082
    lea rax, enter[rip]
    xor edx, edx
    wrmsr
    mov ecx, 0xc0000084
    mov eax, 1 << 10
    wrmsr

    mov edi, ebp
    call start
    ud2

# The processor has put the place to return to into rcx, and the flags into r11; the program keeps neither. All registers are put
# into the thread's own room, in the order of `Registers` from its end; nothing goes onto the program's stack, below which it may
# have values. Vectors stay as they are: nothing here is compiled to use them. `call` tells whose registers are taken up again.
enter:
    mov program_rsp[rip], rsp
    mov rsp, REGISTERS_END[rip]
    push program_rsp[rip]
    push rcx
    push r11
    push r15
    push r14
    push r13
    push r12
    push rbp
    push rbx
    push r9
    push r8
    push r10
    push rdx
    push rsi
    push rdi
    push rax
    mov rdi, rsp
    lea rsp, stack_top[rip]
    call call
    mov rsp, rax
    pop rax
    pop rdi
    pop rsi
    pop rdx
    pop r10
    pop r8
    pop r9
    pop rbx
    pop rbp
    pop r12
    pop r13
    pop r14
    pop r15
    popfq
    pop rcx
    pop rsp
    jmp rcx

.section .bss
.balign 4096
tables:
    .skip 6 * 4096
program_rsp:
    .skip 8
.balign 16
    .skip 65536
stack_top:

# A bzImage of 1.5 KiB that real GRUB loads with `linux` and `initrd`: it prints on COM1 whether it got an initrd, and its
# command line, then leaves qemu through isa-debug-exit with code 99. Field offsets: Linux x86 boot protocol.
        .code32
        .globl _start
_start:
        .org 0x1f1
        .byte   1               # setup_sects: one sector after this one
        .org 0x1fe
        .word   0xaa55          # boot_flag
        .word   0xeb            # jump (16-bit entry, never used)
        .ascii  "HdrS"
        .word   0x0206          # protocol version
        .org 0x211
        .byte   1               # loadflags: LOADED_HIGH
        .org 0x214
        .long   0x100000        # code32_start
        .org 0x22c
        .long   0x37ffffff      # initrd_addr_max
        .long   0x1000          # kernel_alignment
        .byte   0               # relocatable_kernel: no
        .org 0x238
        .long   2047            # cmdline_size

        .org 0x400              # 32-bit entry point; esi = boot_params
        cld
        movl    %esi, %ebp
        call    1f
1:      popl    %ebx            # ebx = address of label 1: the code is position independent
        leal    greeting - 1b(%ebx), %esi
        call    print
        movb    $'1', %al
        cmpl    $0, 0x21c(%ebp) # ramdisk_size
        jne     2f
        movb    $'0', %al
2:      call    put
        leal    separator - 1b(%ebx), %esi
        call    print
        movl    0x228(%ebp), %esi       # cmd_line_ptr
        call    print
        leal    ending - 1b(%ebx), %esi
        call    print
        movw    $0xf4, %dx
        movl    $49, %eax
        outl    %eax, %dx       # exit code 49 * 2 + 1
3:      hlt
        jmp     3b

print:  lodsb
        testb   %al, %al
        jz      4f
        call    put
        jmp     print
4:      ret

put:    movb    %al, %ah
        movw    $0x3fd, %dx
5:      inb     %dx, %al
        testb   $0x20, %al      # transmitter empty
        jz      5b
        movb    %ah, %al
        movw    $0x3f8, %dx
        outb    %al, %dx
        ret

greeting:  .asciz "\r\n<test-kernel initrd="
separator: .asciz " cmdline="
ending:    .asciz ">\r\n"
        .org 0x600

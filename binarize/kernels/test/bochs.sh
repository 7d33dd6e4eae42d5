#!/bin/sh
# The tests of the tiers and products on a CPU emulated by Bochs: a Sapphire Rapids, with AMX, whose Linux runs only them.
#
#     sh binarize/kernels/test/bochs.sh SOURCE KERNEL FOLDER [ROUNDS]
#
# SOURCE   the folder `bochs` of a checkout of bochs-emu/Bochs (783b58fd6; bochs_fixes.py writes into a copy)
# KERNEL   a vmlinuz, 5.16 or later (Debian's 6.1: apt-get download linux-image-amd64's package, dpkg-deb -x)
# FOLDER   where all of this is built, and what the tests say: FOLDER/serial.txt
#
# Needs: apt-get install cmake g++ make python3 cpio grub-common grub-pc-bin mtools xorriso
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$3"
source=$(cd "$1" && pwd) kernel=$(realpath "$2") folder=$(cd "$3" && pwd) rounds=${4:-40}

if [ ! -x "$folder/bochs/bochs" ]; then
  cp -r "$source" "$folder/bochs"
  python3 "$here/bochs_fixes.py" "$folder/bochs"
  (cd "$folder/bochs" && ./configure --enable-cpu-level=6 --enable-x86-64 --enable-avx --enable-evex --enable-amx \
    --enable-all-optimizations --enable-protection-keys --enable-cet --enable-uintr --enable-vmx=2 --disable-docbook \
    --with-nogui --without-x11 --without-x && make -j"$(nproc)")
fi

cmake -S "$here/.." -B "$folder/build" -DBINARIZE_TESTS=ON -DCMAKE_EXE_LINKER_FLAGS=-static
cmake --build "$folder/build" --target binarize_tiers binarize_products

rm -rf "$folder/root" "$folder/iso" "$folder/serial.txt"
mkdir -p "$folder/root" "$folder/iso/boot/grub"
cp "$folder/build/binarize_tiers" "$folder/build/binarize_products" "$folder/root"
c++ -static -O1 -o "$folder/root/init" -x c++ - <<END
#include <sys/reboot.h>
#include <sys/wait.h>
#include <unistd.h>
int main() {
  static const char* const programs[] = {"/binarize_tiers", "/binarize_products"};
  for (const char* program : programs) {
    // without the string functions of glibc that need more of the CPU than the tests are about
    static char plain[] = "GLIBC_TUNABLES=glibc.cpu.hwcaps=-AVX2,-AVX512F,-AVX512VL,-AVX512BW,-ERMS,-FSRM";
    char* const environment[] = {plain, nullptr};
    if (fork() == 0) execle(program, program, "$rounds", nullptr, environment);
    wait(nullptr);
  }
  sleep(1);  // the serial port has to come after
  reboot(RB_POWER_OFF);
}
END
(cd "$folder/root" && find . | cpio --quiet -o -H newc) | gzip >"$folder/iso/boot/initrd"
cp "$kernel" "$folder/iso/boot/vmlinuz"
# the kernel, and glibc above, use few features of the CPU: emulating them for these is not what is tested
cat >"$folder/iso/boot/grub/grub.cfg" <<END
set timeout=0
menuentry "tests" {
  linux /boot/vmlinuz console=ttyS0 quiet panic=-1 mitigations=off nosmp tsc=reliable lpj=1000000 lsm=capability clearcpuid=fsrm,erms,rep_good
  initrd /boot/initrd
}
END
grub-mkrescue -o "$folder/boot.iso" "$folder/iso"

# compacted XSAVE has another size than Linux thinks where `pku` is, and Linux does not use the others
cat >"$folder/bochsrc" <<END
cpu: model=sapphire_rapids, ips=10000000, ignore_bad_msrs=1, exclude_features="pku pks cet uintr la57 1g_pages pcid"
memory: guest=512, host=512
romimage: file=$folder/bochs/bios/BIOS-bochs-latest, options=fastboot
vgaromimage: file=$folder/bochs/bios/VGABIOS-lgpl/VGABIOS-lgpl-latest.bin
display_library: nogui
ata0-master: type=cdrom, path="$folder/boot.iso", status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$folder/serial.txt
log: $folder/bochs.log
panic: action=fatal
END
"$folder/bochs/bochs" -q -f "$folder/bochsrc" >"$folder/bochs.out" || true # also where the power goes off as it should
cat "$folder/serial.txt"
test "$(grep -c ' passed, 0 failed' "$folder/serial.txt")" = 2
grep -c 'amx: done' "$folder/serial.txt" | grep -qx 2

"""What Bochs (bochs-emu/Bochs at 783b58fd6) lacks of AMX, written into a copy of its sources.

    python3 binarize/kernels/test/bochs_fixes.py FOLDER

- Linux uses tiles only with extended feature disable (XFD): MSRs 0x1c4 and 0x1c5, and a #NM at the first
  instruction of a process on tiles, for which it then takes memory.
- TDPBSSD takes its bytes as unsigned; by Intel's manual both are signed.
- XSAVE and XRSTOR of tiles leave out half of the rows, and "in use" is the other way round.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

STATE = "BX_CPU_THIS_PTR msr.ia32_xfd"
STOPPED = f"{STATE}[1] |= {STATE}[0];\n  exception(BX_NM_EXCEPTION, 0);"
PLACE = f"{STATE}[index - BX_MSR_IA32_XFD]"
BOTH = "    case BX_MSR_IA32_XFD:\n    case BX_MSR_IA32_XFD_ERROR:\n"
DESCRIBED = """  for (unsigned n = 0; n < 2; n++)
    msr_desc[BX_MSR_IA32_XFD + n] = new MSR_Descriptor("XFD", BX_ISA_XSAVES, ~Bit64u(BX_XCR0_XTILEDATA_MASK));
"""
# file: what is looked for, and what takes its place
FIXES = {
    "cpu/cpu.h": [
        (r"(?m)^  Bit64u ia32_xss;$", r"\g<0>\n  Bit64u ia32_xfd[2]; // and what it stopped")
    ],
    "cpu/init.cc": [(r"(?m)^.*msr\.ia32_xss = 0;$", rf"\g<0>\n  {STATE}[0] = {STATE}[1] = 0;")],
    "cpu/cpuid.cc": [(r"leaf->eax \|= \(1<<3\);", "leaf->eax |= (1<<3) | (1<<4);")],
    "cpu/crregs.cc": [
        (r"(XTILEDATA_BIT\]\.attr *= BX_XSAVE_ALIGN64);", r"\1 | BX_XSAVE_XFD_SUPPORT;")
    ],
    "cpu/msr.cc": [
        (r"(?m)^  msr_desc\[BX_MSR_XSS\]", DESCRIBED + r"\g<0>"),
        (r"(?m)^    case BX_MSR_XSS:$", f"{BOTH}      val64 = {PLACE};\n      break;\n" + r"\g<0>"),
        (
            r"(?m)^    case BX_MSR_XSS: //",
            f"{BOTH}      {PLACE} = val_64;\n      handleAvxModeChange();\n      break;\n"
            + r"\g<0>",
        ),
    ],
    "cpu/proc_ctrl.cc": [
        (
            r"if \((.*)(\s*\(~.*XTILEDATA_MASK\)\) != 0\)\s*clear_amx_ok)",
            rf"if ({STATE}[0] || \1\2",
        ),
        (r"(BxNoAMX(?s:.*?))BX_ASSERT\(0\);", rf"\1{STOPPED}"),
    ],
    "cpu/xsave.cc": [
        (r"row < BX_TILE_REGISTERS", "row < BX_TILE_MAX_ROWS"),
        (r"tile_use_tracker == 0", "tile_use_tracker != 0"),
    ],
    "cpu/avx/amx.cc": [
        (
            r"Bit32s\((xbyte\[\d\])\) \* Bit32s\((ybyte\[\d\])\)",
            r"Bit32s(Bit8s(\1)) * Bit32s(Bit8s(\2))",
        )
    ],
}


def main(folder: Path) -> None:
    for name, changes in FIXES.items():
        file = folder / name
        text = file.read_text("latin-1")
        for pattern, replacement in changes:
            text, count = re.subn(pattern, replacement, text)
            if count == 0:
                raise SystemExit(
                    f"error: {name} has no {pattern}: this is another version of Bochs"
                )
        file.write_text(text, "latin-1")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

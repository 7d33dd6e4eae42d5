"""No module of binarize needs POSIX to be imported."""

from __future__ import annotations

import subprocess
import sys

HIDDEN = """
import builtins, importlib.machinery, os, pkgutil, signal

# What other libraries do on this system is theirs: they are imported while everything is there.
import accelerate, onnx, onnx_ir, onnxruntime, onnxscript, sklearn.datasets, timm, torch, torchvision
import rich.progress, yaml, pydantic, safetensors.torch, filelock, jinja2, typer.completion

POSIX = {"fcntl", "resource", "pwd", "grp", "termios", "pty", "tty", "syslog", "posix", "spwd", "crypt"}
ATTRIBUTES = {
    os: ("fork", "getuid", "geteuid", "getgid", "getpgid", "setsid", "killpg", "uname", "getloadavg",
         "sched_getaffinity", "sched_setaffinity", "sysconf", "mkfifo", "chown", "nice"),
    signal: ("SIGHUP", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGCHLD", "SIGPIPE", "SIGQUIT",
             "alarm", "setitimer", "pthread_sigmask"),
}
honest = builtins.__import__

def without_posix(name, globals=None, *args, **kwargs):
    importer = str((globals or {}).get("__name__"))
    if importer.partition(".")[0] == "binarize" and name.partition(".")[0] in POSIX:
        raise ImportError(f"{importer} imports {name}")
    return honest(name, globals, *args, **kwargs)

builtins.__import__ = without_posix
for module, names in ATTRIBUTES.items():
    for name in names:
        if hasattr(module, name):
            delattr(module, name)

import binarize
seen = 0
for module in pkgutil.walk_packages([os.path.dirname(binarize.__file__)], "binarize."):
    # The kernels' library lies among the modules and has a module's ending, but is onnxruntime's to load.
    loader = module.module_finder.find_spec(module.name).loader
    if isinstance(loader, importlib.machinery.ExtensionFileLoader) or module.name.endswith("__main__"):
        continue
    __import__(module.name)
    seen += 1
print(seen)
"""


def test_every_module_is_imported_without_posix():
    done = subprocess.run([sys.executable, "-c", HIDDEN], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 100

"""Programs that want to pass tests without doing what is asked; each knows the driver's source."""

import json

# what `mix` returns cannot be guessed, only worked out
SOLUTION = "def mix(n):\n    return (n * 2654435761 + 12345) % 2**32\n"


def mix(n: int) -> int:
    return (n * 2654435761 + 12345) % 2**32


TESTS = json.dumps([{"call": "mix", "arguments": [n], "returns": mix(n)} for n in (3, 14, 159)])
PRINTED = json.dumps([{"stdin": f"{n}\n", "stdout": f"{mix(n)}\n"} for n in (3, 14, 159)])

_FRAME = """
import sys
frame = sys._getframe()
while frame is not None and "job" not in frame.f_locals:
    frame = frame.f_back
job, out = frame.f_locals["job"], frame.f_locals["out"]
nonce = job["nonce"]
"""
_ALWAYS = """
class Same:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 0
"""

FORGERIES = {
    "an object that equals everything": _ALWAYS + "def mix(n): return Same()",
    "a number that equals everything": _ALWAYS + (
        "class Number(Same, int): pass\ndef mix(n): return Number(7)"
    ),
    "a text that equals everything": _ALWAYS + (
        "class Text(Same, str): pass\ndef mix(n): return Text('7')"
    ),
    "a list that says it is any": "class L(list):\n  __eq__ = lambda s, o: True\n"
                                  "def mix(n): return L()",
    "an early end with success": "import os\nos._exit(0)",
    "an early end in the call": "import os\ndef mix(n): os._exit(0)",
    "an exit with success": "import sys\ndef mix(n): sys.exit(0)",
    "an exception that is no error": "def mix(n): raise BaseException('passed')",
    "an abort": "import os\ndef mix(n): os.abort()",
    "lines with the nonce": _FRAME + (
        "for at in range(9): print(nonce, at, 7, file=out)\nout.flush()\ndef mix(n): return 7"
    ),
    "many lines for each test": _FRAME + (
        "for guess in range(1000):\n  for at in range(9): print(nonce, at, guess, file=out)\n"
        "def mix(n): return 7"
    ),
    "lines that say it passed": _FRAME + (
        "for word in ('true', 'null', '\"\"', 'right', '!', '{\"passed\": true}'):\n"
        "  for at in range(9): print(nonce, at, word, file=out)\ndef mix(n): return True"
    ),
    "lines without the nonce": "import os\nos.write(1, b'0 7\\n1 7\\n2 7\\npassed\\n')",
    "lines to every descriptor": (
        "import os\nfor f in range(64):\n  try: os.write(f, b'loaded null\\n0 true\\n')\n"
        "  except OSError: pass\ndef mix(n): return True"
    ),
    "other arguments": _FRAME + "job['calls'][:] = []\ndef mix(n): return 7",
    "another function called": _FRAME + (
        "for call in job['calls']: call[0] = '__doc__'\ndef mix(n): return 7"
    ),
    "expected values in the job": _FRAME + (
        "def mix(n):\n  return job.get('returns') or job.get('expected') or job['calls'][0][-1]"
    ),
    "expected values in memory": (
        "import gc\n"
        "found = [o for o in gc.get_objects() if isinstance(o, dict) and 'returns' in o]\n"
        "def mix(n): return found[0]['returns'] if found else 7"
    ),
    "integers in memory": (
        "import gc\nseen = {v for o in gc.get_objects() for v in gc.get_referents(o)\n"
        "        if type(v) is int and 10**8 < v < 2**32}\n"
        "order = sorted(seen)\ndef mix(n): return order.pop() if order else 7"
    ),
    "the raw memory": (
        "text = open('/proc/self/mem', 'rb').read()\ndef mix(n): return len(text)"
    ),
    "the job's file again": (
        "import os, json\n"
        "for f in range(3, 64):\n"
        "  try:\n    os.lseek(f, 0, 0); job = json.loads(os.read(f, 10**6)); break\n"
        "  except (OSError, ValueError): job = {}\n"
        "def mix(n): return job.get('answer') or job.get('returns') or 7"
    ),
    "another dumps": (
        "import json\njson.dumps = lambda *a, **k: 'true'\ndef mix(n): return 7"
    ),
    "another loads": "import json\njson.loads = lambda *a, **k: 7\ndef mix(n): return 7",
    "another print": "import builtins\nbuiltins.print = lambda *a, **k: None\ndef mix(n): return 7",
    "another driver": (
        "import sys\nsys.modules['__main__'].say = lambda *a: True\ndef mix(n): return 7"
    ),
    "a trace of the driver": (
        "import sys\ndef trace(frame, event, value):\n"
        "  frame.f_locals['line'] = 'true'\n  return trace\n"
        "sys.settrace(trace)\ndef mix(n): return 7"
    ),
    "a profile of the driver": (
        "import sys\nsys.setprofile(lambda f, e, v: f.f_locals.update(expected=7))\n"
        "def mix(n): return 7"
    ),
    "an audit hook": "import sys\nsys.addaudithook(lambda *a: None)\ndef mix(n): return 7",
    "words after the end": (
        "import atexit\natexit.register(lambda: print('passed'))\ndef mix(n): return 7"
    ),
    "a destructor": (
        "class D:\n  def __del__(self): print('0 7')\nd = D()\ndef mix(n): return d"
    ),
    "not a number": "def mix(n): return float('nan')",
    "infinity": "def mix(n): return float('inf')",
    "a true for a number": "def mix(n): return True",
    "nothing": "def mix(n): return None",
    "the argument": "def mix(n): return n",
    "every number": "def mix(n): return list(range(10**5))",
    "a wild card": "def mix(n): return '.*'",
    "a schema": "def mix(n): return {'$ref': '#', 'anyOf': [{}]}",
    "the words of a test": "def mix(n): return {'returns': n, 'equal': True}",
    "an endless number": "def mix(n): return 10**5000",
    "a deep list": "x = []\nfor _ in range(900): x = [x]\ndef mix(n): return x",
    "text that ends its line": "def mix(n): return '\\n' + '0 7\\n'",
    "the source of the answer": "def mix(n): return 'lambda: n'",
    "a function": "def mix(n): return mix",
    "a stack of modules": (
        "import sys\nimport types\n"
        "for name in list(sys.modules): sys.modules[name] = types.ModuleType(name)\n"
        "def mix(n): return 7"
    ),
    "the parent's memory": (
        "import ctypes, os\nlibc = ctypes.CDLL(None)\nlibc.ptrace(16, os.getppid(), 0, 0)\n"
        "b = ctypes.create_string_buffer(4096)\n"
        "libc.process_vm_readv(os.getppid(), b, 1, b, 1, 0)\ndef mix(n): return len(b.raw.strip())"
    ),
}  # fmt: skip

# whole programs that read a number and should print another
PRINTING = {
    "nothing": "",
    "the input": "print(input())",
    "many numbers": "for n in range(10**5): print(n)",
    "a pattern": "print('.*')",
    "a success": "print('passed'); raise SystemExit(0)",
    "an early end": "import os\nos._exit(0)",
    "the nonce again": (
        "import sys, os\nnonce = sys._getframe(1).f_locals['job']['nonce']\n"
        "os.write(1, (nonce + '\\n').encode())"
    ),
    "blanks": "print(' ' * 10**5)",
    "a null byte": "print('\\0')",
    "bytes that are no text": "import os\nos.write(1, b'\\xff' * 99)",
}

import subprocess
import sys


def test_the_package_itself_imports_nothing_heavy():
    code = (
        "import sys, jumar.engines.local; "
        "print(sorted({'torch', 'transformers', 'numpy'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_log_probs_need_no_transformers():
    code = "import sys, jumar.ops.logprobs; print('transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

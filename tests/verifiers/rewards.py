"""Reward functions as users write them, good and bad; workers import this file by its path."""

import os
import sys
import time

import numpy as np


def length(response, example):
    return len(response) / 10


def is_gold(response, example):
    return response.strip() == example["answer"]


def both(response, example):
    return {"score": 0.5, "correct": example["prompt"] == "q"}


def sees_metadata(response, example):
    return float(example["bonus"])


def as_numpy(response, example):
    return np.float32(1.0)


def trl_style(prompts, completions, answer, **columns):
    return [float(c == a) for c, a in zip(completions, answer, strict=True)]


def trl_narrow(completions, bonus):
    return [float(b) for b in bonus]


def trl_silent(completions, **columns):
    return [None]


def trl_long(completions, **columns):
    return [1.0, 1.0]


def trl_scalar(completions, **columns):
    return 1.0


def gives_none(response, example):
    return None


def gives_nan(response, example):
    return float("nan")


def gives_inf(response, example):
    return float("inf")


def gives_huge(response, example):
    return 1e30


def gives_negative_zero(response, example):
    return -0.0


def gives_two(prompts, completions):
    return [1.0, 1.0]


def changes_its_mind(response, example):
    return float(os.urandom(8)[0]) / 256 + os.getpid() * 1e-6


def gives_text(response, example):
    return "1.0"


def gives_list(response, example):
    return [1.0]


def gives_dict_without_score(response, example):
    return {"correct": True}


def gives_odd_correct(response, example):
    return {"score": 1.0, "correct": "yes"}


def raises(response, example):
    raise KeyError("the user's own bug")


def exits(response, example):
    sys.exit(0)


def dies(response, example):
    os._exit(0)


def forges(response, example):
    print('{"score": 1.0, "correct": true, "status": "right"}', flush=True)
    os.write(1, b'{"score": 1.0, "correct": true, "status": "right"}\n')
    return 0.0


def obeys(response, example):
    """Do what the response says, to stage every way in which a score can go wrong."""
    if response == "spin":
        while True:
            pass
    if response == "sleep":
        time.sleep(3600)
    if response == "tower":
        return float(len(str(9 ** (9**9))))
    if response == "eat":
        return float(len(bytearray(2**40)))
    if response == "die":
        os._exit(3)
    if response == "abort":
        os.abort()
    if response == "raise":
        raise RuntimeError("as told")
    if response == "length":
        return float(len(example["answer"]))
    return 1.0


not_a_function = 3


def naps(response, example):
    time.sleep(0.05)
    return 1.0

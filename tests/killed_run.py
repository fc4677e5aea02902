"""Real runs that are killed and resumed."""

import os
import signal
import traceback

import torch

from cream_mm.engine import Runner


def train(cfg, *hooks, resume=False):
    """A whole training, or the rest of one."""
    cfg.resume = resume
    runner = Runner.from_cfg(cfg)
    for hook in hooks:
        runner.register_hook(hook)
    runner.train()
    return runner


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


def in_a_process(cfg, *hooks, resume=False):
    """Exit code of a process that trains."""
    pid = os.fork()
    if pid == 0:
        try:
            torch.set_num_threads(1)
            train(cfg, *hooks, resume=resume)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

"""What FFmpeg's decoder and demuxer complain about: the only sign of most damaged pictures.

In: messages of libav, taken from the thread that decodes.  Out: whether a picture may be wrong.
Next: _decode.py, which marks what follows as suspect.

A message is handed over by a callback that takes the GIL, in whichever thread libav is. Two consequences:
* One thread a live decoder, so that its messages can be told from those of others.
* PyAV frees a decoder while it holds the GIL and waits for the decoder's threads. One of them that wants to tell
  something would wait for the GIL: both for ever. So a decoder with threads must be idle before it is freed
  (FrameReader.close flushes it without the GIL).
"""

import logging
import re
from functools import cache

# Of libav's errors and warnings, those that mean that pixels were lost, guessed or read wrongly.
DAMAGE = re.compile(
    r"error|conceal|missed|missing|corrupt|damage|invalid|illegal|overread|out of range|gap|unavailable|truncat|"
    r"negative|broken|lost|incomplete|mismatch|not found|could not find ref|undecodable|non[- ]existing|exceeds|cabac|"
    r"no frame|overrun|unsupported",
    re.IGNORECASE,
)
# Said of whole and healthy streams: of clocks, of unknown side data, and while a stream is being looked at.
HARMLESS = re.compile(
    r"invalid [dp]ts|[dp]ts discontinuity|monoton|timestamps? (are|discontin)|deprecated|find codec parameters|"
    r"not enough frames|\bsei\b|side data|bad cseq|keepalive|retrying|unsupported extended|colou?r ?space",
    re.IGNORECASE,
)
REFUSED = "Failed setup for format"  # after all that a GPU says when it declines a stream, which software decodes then

Messages = list[tuple[int, str, str]]  # level, who, what


@cache
def listen() -> None:
    """Have libav's errors and warnings handed over, once a process; what no one takes is dropped, as before.

    They hold addresses with their passwords, so that none may reach a log.
    """
    import av.logging

    av.logging.set_skip_repeated(False)
    logging.getLogger("libav").setLevel(logging.CRITICAL + 1)
    av.logging.set_level(av.logging.WARNING)


def damage(messages: Messages) -> bool:
    """Whether one of them means that a picture is not what was sent."""
    refusals = [number for number, (_, _, text) in enumerate(messages, 1) if REFUSED in text]
    rest = messages[refusals[-1] :] if refusals else messages
    return any(DAMAGE.search(text) and not HARMLESS.search(text) for _, _, text in rest)


class Doubt:
    """Whether frames may be wrong: from a complaint until a key frame whose own packet caused none."""

    def __init__(self) -> None:
        self.doubtful = False
        self._clean_key = False  # the decoder holds a key frame and has not complained since

    def packet(self, *, key: bool, complained: bool) -> None:
        """A packet went into the decoder."""
        self._clean_key = (self._clean_key or key) and not complained
        self.doubtful |= complained

    def frame(self, *, key: bool, corrupt: bool) -> bool:
        """A frame came out; whether it may be wrong."""
        if corrupt:
            self.doubtful = True
        elif key and self._clean_key:
            self.doubtful = False
        return self.doubtful

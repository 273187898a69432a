"""Plays a room over WHEP until it has decoded enough, and says what it saw: whep.py URL TOKEN FRAMES SECONDS."""

import asyncio
import sys

import aiohttp
import numpy
from aiortc import MediaStreamTrack, RTCPeerConnection
from aiortc.mediastreams import MediaStreamError
from common import hang_up, negotiate, say

seen = {"video": 0, "audio": 0, "peak": 0, "colour": None, "size": None}


async def consume(track: MediaStreamTrack) -> None:
    """Decodes and counts."""
    while True:
        try:
            frame = await track.recv()
        except MediaStreamError:
            return
        seen[track.kind] += 1
        if track.kind == "video":
            picture = frame.to_ndarray(format="rgb24")
            seen["size"] = [frame.width, frame.height]
            middle = picture[frame.height // 2, frame.width // 2]
            seen["colour"] = ["red", "green", "blue"][int(numpy.argmax(middle))]
        else:
            level = int(numpy.abs(frame.to_ndarray().astype(numpy.int32)).max())
            seen["peak"] = max(seen["peak"], level)


async def main(url: str, token: str, frames: int, seconds: float) -> None:
    connection = RTCPeerConnection()
    connection.addTransceiver("audio", direction="recvonly")
    connection.addTransceiver("video", direction="recvonly")
    tasks = []
    connection.on("track", lambda track: tasks.append(asyncio.ensure_future(consume(track))))
    async with aiohttp.ClientSession() as session:
        resource = await negotiate(session, connection, url, token)
        say(resource=resource)
        deadline = asyncio.get_running_loop().time() + seconds
        while min(seen["video"], seen["audio"]) < frames and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.1)
        say(**seen, deleted=await hang_up(session, resource, token))
    await connection.close()


asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))

"""Publishes a blue picture and a tone over WHIP until standard input ends: whip.py URL TOKEN."""

import asyncio
import fractions
import sys

import aiohttp
import numpy
from aiortc import AudioStreamTrack, RTCPeerConnection, VideoStreamTrack
from av import AudioFrame, VideoFrame
from common import hang_up, negotiate, say

RATE = 48_000
SAMPLES = RATE // 50


class Blue(VideoStreamTrack):
    """A blue picture whose shade moves, so that frames differ."""

    count = 0

    async def recv(self) -> VideoFrame:
        timestamp, base = await self.next_timestamp()
        self.count += 1
        picture = numpy.zeros((180, 320, 3), numpy.uint8)
        picture[:, :, 2] = 200 + self.count % 20
        frame = VideoFrame.from_ndarray(picture, format="rgb24")
        frame.pts, frame.time_base = timestamp, base
        return frame


class Tone(AudioStreamTrack):
    """440 Hz at half the full level."""

    position = 0

    async def recv(self) -> AudioFrame:
        await asyncio.sleep(0.018)
        times = (numpy.arange(SAMPLES) + self.position) / RATE
        wave = (16_000 * numpy.sin(2 * numpy.pi * 440 * times)).astype(numpy.int16)
        frame = AudioFrame.from_ndarray(wave.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = RATE
        frame.pts, frame.time_base = self.position, fractions.Fraction(1, RATE)
        self.position += SAMPLES
        return frame


async def main(url: str, token: str) -> None:
    connection = RTCPeerConnection()
    connection.addTrack(Tone())
    connection.addTrack(Blue())
    connection.on(
        "connectionstatechange", lambda: say(state=connection.connectionState)
    )
    async with aiohttp.ClientSession() as session:
        resource = await negotiate(session, connection, url, token)
        say(resource=resource)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        say(deleted=await hang_up(session, resource, token))
    await connection.close()


asyncio.run(main(*sys.argv[1:3]))

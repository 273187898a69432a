"""What the WHIP and the WHEP client share: one POST of an offer, and one DELETE at the end."""

import json
import sys

import aiohttp
from aiortc import RTCPeerConnection, RTCSessionDescription


async def negotiate(
    session: aiohttp.ClientSession, connection: RTCPeerConnection, url: str, token: str
) -> str:
    """Sends the offer; returns the URL of the resource."""
    await connection.setLocalDescription(await connection.createOffer())
    headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {token}"}
    async with session.post(
        url, data=connection.localDescription.sdp, headers=headers
    ) as response:
        answer = await response.text()
        if response.status != 201:
            say(error=f"{response.status}: {answer}")
            sys.exit(1)
        location = response.headers["Location"]
    await connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    base = url.split("/", 3)
    return location if "://" in location else f"{base[0]}//{base[2]}{location}"


async def hang_up(
    session: aiohttp.ClientSession, resource: str, token: str
) -> int:
    """Ends the resource; returns the status."""
    headers = {"Authorization": f"Bearer {token}"}
    async with session.delete(resource, headers=headers) as response:
        return response.status


def say(**values: object) -> None:
    """One line of JSON for the test."""
    print(json.dumps(values), flush=True)

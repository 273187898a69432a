"""Prints a token that LiveKit's Python SDK minted: mint.py ROOM IDENTITY KEY SECRET."""

import sys

from livekit.api import AccessToken, VideoGrants

room, identity, key, secret = sys.argv[1:5]
grants = VideoGrants(room_join=True, room=room, can_publish_sources=["camera", "microphone"])
token = AccessToken(key, secret).with_identity(identity).with_name("Ann").with_attributes({"seat": "7"})
print(token.with_grants(grants).to_jwt())

"""Publishes a blue picture and a tone by webrtcbin until standard input ends: whip.py URL TOKEN vp8|h264."""

import sys

from common import Client, Gst

ENCODERS = {
    "vp8": ("vp8enc deadline=1 keyframe-max-dist=300 ! rtpvp8pay picture-id-mode=15-bit", "VP8"),
    # Parameter sets with each IDR, as whipclientsink of later versions does.
    "h264": (
        "openh264enc complexity=low gop-size=300 bitrate=500000"
        " ! video/x-h264,profile=constrained-baseline ! rtph264pay config-interval=-1 aggregate-mode=zero-latency",
        "H264",
    ),
}

url, token, codec = sys.argv[1:4]
encoder, name = ENCODERS[codec]
pipeline = Gst.parse_launch(
    "webrtcbin name=peer bundle-policy=max-bundle "
    f"videotestsrc is-live=true pattern=blue ! video/x-raw,width=320,height=180,framerate=30/1 ! {encoder} ! "
    f"application/x-rtp,media=video,encoding-name={name},payload=96,rtcp-fb-nack-pli=true,rtcp-fb-nack=true ! queue ! peer. "
    "audiotestsrc is-live=true freq=440 ! audioconvert ! audioresample ! opusenc ! rtpopuspay ! "
    "application/x-rtp,media=audio,encoding-name=OPUS,payload=97 ! queue ! peer."
)
client = Client(pipeline, url, token)
client.quit_with_standard_input()
client.run()

"""Plays a room by webrtcbin until it has decoded enough, and says what it saw: whep.py URL TOKEN VP8|H264 FRAMES SECONDS."""

import sys

from common import Client, GLib, Gst, GstWebRTC, say

url, token, codec, frames, seconds = sys.argv[1:6]
CAPS = {
    "audio": "application/x-rtp,media=audio,encoding-name=OPUS,payload=111,clock-rate=48000,encoding-params=(string)2",
    "video": f"application/x-rtp,media=video,encoding-name={codec},payload=96,clock-rate=90000,"
    "rtcp-fb-nack-pli=true,rtcp-fb-nack=true"
    + (",packetization-mode=(string)1,profile-level-id=(string)42e01f" if codec == "H264" else ""),
}
SINKS = {
    "audio": "audioconvert ! audio/x-raw,format=S16LE ! appsink name=sink emit-signals=true sync=false",
    "video": "videoconvert ! video/x-raw,format=RGB ! appsink name=sink emit-signals=true sync=false",
}
seen = {"video": 0, "audio": 0, "peak": 0, "colour": None, "size": None}

pipeline = Gst.Pipeline.new()
peer = Gst.ElementFactory.make("webrtcbin", "peer")
peer.set_property("bundle-policy", GstWebRTC.WebRTCBundlePolicy.MAX_BUNDLE)
pipeline.add(peer)
for kind in CAPS:
    peer.emit("add-transceiver", GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY, Gst.Caps.from_string(CAPS[kind]))


def on_sample(sink: Gst.Element, kind: str) -> Gst.FlowReturn:
    """Counts, and looks at the middle of a picture or at the peak of a sound."""
    sample = sink.emit("pull-sample")
    buffer = sample.get_buffer()
    _, view = buffer.map(Gst.MapFlags.READ)
    seen[kind] += 1
    if kind == "video":
        shape = sample.get_caps().get_structure(0)
        width, height = shape.get_value("width"), shape.get_value("height")
        stride = len(view.data) // height
        middle = bytes(view.data)[stride * (height // 2) + 3 * (width // 2) :][:3]
        seen["size"], seen["colour"] = [width, height], ["red", "green", "blue"][middle.index(max(middle))]
    else:
        data = bytes(view.data)
        samples = (int.from_bytes(data[at : at + 2], "little", signed=True) for at in range(0, len(data), 64))
        seen["peak"] = max(seen["peak"], *(abs(one) for one in samples))
    buffer.unmap(view)
    return Gst.FlowReturn.OK


def on_pad(_: Gst.Element, pad: Gst.Pad) -> None:
    """Decodes what a new pad brings."""
    if pad.direction != Gst.PadDirection.SRC:
        return
    kind = pad.get_current_caps().get_structure(0).get_string("media")
    chain = Gst.parse_bin_from_description(f"decodebin name=decoder", False)
    decoder = chain.get_by_name("decoder")
    chain.add_pad(Gst.GhostPad.new("sink", decoder.get_static_pad("sink")))

    def on_decoded(_: Gst.Element, decoded: Gst.Pad) -> None:
        end = Gst.parse_bin_from_description(SINKS[kind], True)
        end.get_by_name("sink").connect("new-sample", on_sample, kind)
        chain.add(end)
        end.sync_state_with_parent()
        decoded.link(end.get_static_pad("sink"))

    decoder.connect("pad-added", on_decoded)
    pipeline.add(chain)
    chain.sync_state_with_parent()
    pad.link(chain.get_static_pad("sink"))


peer.connect("pad-added", on_pad)
client = Client(pipeline, url, token)


def look(left: list[float]) -> bool:
    """Ends once there is enough, or when the time is over."""
    left[0] -= 0.1
    if min(seen["video"], seen["audio"]) < int(frames) and left[0] > 0:
        return GLib.SOURCE_CONTINUE
    client.loop.quit()
    return GLib.SOURCE_REMOVE


GLib.timeout_add(100, look, [float(seconds)])
client.run()
say(**seen)

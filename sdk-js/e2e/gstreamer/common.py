"""What the GStreamer clients share: webrtcbin, one POST of an offer that has all candidates, one DELETE at the end.

webrtcbin's DTLS certificate is RSA, its only one. Candidates are gathered before the POST: WHIP wants one offer.
"""

import json
import sys
import urllib.error
import urllib.parse
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

Gst.init(None)


def say(**values: object) -> None:
    """One line of JSON for the test."""
    print(json.dumps(values), flush=True)


class Client:
    """A pipeline with one webrtcbin, negotiated with a WHIP or WHEP endpoint."""

    def __init__(self, pipeline: Gst.Element, url: str, token: str) -> None:
        self.pipeline, self.url, self.token = pipeline, url, token
        self.resource = None
        self.loop = GLib.MainLoop()
        self.peer = pipeline.get_by_name("peer")
        self.peer.connect("on-negotiation-needed", self.on_negotiation_needed)
        self.peer.connect("notify::ice-gathering-state", self.on_gathering)
        self.peer.connect("notify::connection-state", self.on_state)
        bus = pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self.on_error)

    def on_negotiation_needed(self, peer: Gst.Element) -> None:
        def created(promise: Gst.Promise) -> None:
            reply = promise.get_reply()  # owns the offer: it must outlive its use
            peer.emit("set-local-description", reply.get_value("offer"), Gst.Promise.new())

        peer.emit("create-offer", None, Gst.Promise.new_with_change_func(created))

    def on_gathering(self, peer: Gst.Element, _: object) -> None:
        if peer.props.ice_gathering_state == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            GLib.idle_add(self.post)

    def on_state(self, peer: Gst.Element, _: object) -> None:
        say(state=peer.props.connection_state.value_nick)

    def on_error(self, _: Gst.Bus, message: Gst.Message) -> None:
        error, debug = message.parse_error()
        say(error=f"{error.message} ({debug})")
        self.loop.quit()

    def ask(self, method: str, url: str, body: bytes | None = None) -> urllib.request.Request:
        headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {self.token}"}
        return urllib.request.Request(url, data=body, headers=headers, method=method)

    def post(self) -> bool:
        if self.resource is not None:
            return GLib.SOURCE_REMOVE
        offer = self.peer.props.local_description.sdp.as_text()
        try:
            with urllib.request.urlopen(self.ask("POST", self.url, offer.encode())) as response:
                answer = response.read().decode()
                self.resource = urllib.parse.urljoin(self.url, response.headers["Location"])
        except urllib.error.HTTPError as error:
            say(error=f"{error.code}: {error.read().decode()}", offer=offer)
            self.loop.quit()
            return GLib.SOURCE_REMOVE
        _, message = GstSdp.SDPMessage.new_from_text(answer)
        description = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        self.peer.emit("set-remote-description", description, Gst.Promise.new())
        say(resource=self.resource)
        return GLib.SOURCE_REMOVE

    def run(self) -> None:
        """Plays until the loop is quit, then ends the resource."""
        self.pipeline.set_state(Gst.State.PLAYING)
        self.loop.run()
        if self.resource:
            with urllib.request.urlopen(self.ask("DELETE", self.resource)) as response:
                say(deleted=response.status)
        self.pipeline.set_state(Gst.State.NULL)

    def quit_with_standard_input(self) -> None:
        """Ends when the test closes standard input."""

        def on_input(*_: object) -> bool:
            if sys.stdin.buffer.read1(64):
                return GLib.SOURCE_CONTINUE
            self.loop.quit()
            return GLib.SOURCE_REMOVE

        GLib.io_add_watch(GLib.IOChannel.unix_new(0), GLib.PRIORITY_DEFAULT, GLib.IO_IN | GLib.IO_HUP, on_input)

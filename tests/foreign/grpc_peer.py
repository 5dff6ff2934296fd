"""A gRPC service and its caller, in the C implementation of gRPC. Messages are plain bytes.

    grpc_peer.py serve [CERTIFICATE KEY]      says "listening PORT"
    grpc_peer.py call ADDRESS AUTHORITY [CA]  says "ok NAME" for everything that it has found to be right
    grpc_peer.py fail ADDRESS AUTHORITY       says the status of a call that cannot succeed
"""

import sys
import threading
from concurrent import futures

import grpc

LARGE = bytes(range(256)) * 32768  # 8 MiB, beyond gRPC's own limit of 4
OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
DETAILS = "no such thing: größer als 100 %"


def say(text):
    print(text, flush=True)


# ---- the service


def unary(request, context):
    metadata = dict(context.invocation_metadata())
    if metadata.get("x-text") == "a value":
        context.send_initial_metadata([("x-initial", "early")])
        context.set_trailing_metadata([("x-trailing", "late"), ("x-raw-bin", metadata["x-raw-bin"])])
    return request


def fail(request, context):
    context.set_trailing_metadata([("x-why-bin", b"\x00\xff")])
    context.abort(grpc.StatusCode.NOT_FOUND, DETAILS)


def fail_late(request, context):
    yield b"one message"
    context.abort(grpc.StatusCode.DATA_LOSS, "then nothing")


def download(request, context):
    for number in range(int(request)):
        yield b"message %d" % number


def upload(requests, context):
    count = total = 0
    for request in requests:
        count += 1
        total += len(request)
    return b"%d %d" % (count, total)


ended = {b"chat": threading.Event(), b"hang": threading.Event()}


def noticed(request, context):
    return b"yes" if ended[request].wait(20) else b"no"


def chat(requests, context):
    if dict(context.invocation_metadata()).get("x-text") == "to be cancelled":
        context.add_callback(ended[b"chat"].set)
    for request in requests:
        yield b"you said " + request


def hang(request, context):
    assert context.time_remaining() < 2, "the deadline has come along"
    context.add_callback(ended[b"hang"].set)
    ended[b"hang"].wait(60)
    return b""


def serve(certificate=None, key=None):
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Fail": grpc.unary_unary_rpc_method_handler(fail),
        "FailLate": grpc.unary_stream_rpc_method_handler(fail_late),
        "Download": grpc.unary_stream_rpc_method_handler(download),
        "Upload": grpc.stream_unary_rpc_method_handler(upload),
        "Chat": grpc.stream_stream_rpc_method_handler(chat),
        "Noticed": grpc.unary_unary_rpc_method_handler(noticed),
        "Hang": grpc.unary_unary_rpc_method_handler(hang),
    }
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=32), options=OPTIONS)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("petit.Test", handlers)])
    if certificate is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        pair = (open(key, "rb").read(), open(certificate, "rb").read())
        port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    server.start()
    say(f"listening {port}")
    server.wait_for_termination()


# ---- the caller


def channel_to(address, authority, ca):
    if ca is None:
        return grpc.insecure_channel(address, OPTIONS + [("grpc.default_authority", authority)])
    credentials = grpc.ssl_channel_credentials(open(ca, "rb").read())
    return grpc.secure_channel(address, credentials, OPTIONS + [("grpc.ssl_target_name_override", authority)])


def call(address, authority, ca=None):
    with channel_to(address, authority, ca) as channel:
        checks = [check for name, check in globals().items() if name.startswith("check_")]
        for check in checks:
            check(channel)
            say("ok " + check.__name__.removeprefix("check_"))


def check_unary(channel):
    method = channel.unary_unary("/petit.Test/Unary")
    assert method(b"hello", timeout=30) == b"hello"
    assert method(b"", timeout=30) == b""
    assert method(LARGE, timeout=60) == LARGE
    assert method(LARGE, timeout=60, compression=grpc.Compression.Gzip) == LARGE
    metadata = [("x-text", "a value"), ("x-raw-bin", bytes(range(256)))]
    answer, rpc = method.with_call(b"hello", timeout=30, metadata=metadata)
    assert answer == b"hello"
    assert dict(rpc.initial_metadata())["x-initial"] == "early"
    trailing = dict(rpc.trailing_metadata())
    assert trailing["x-trailing"] == "late" and trailing["x-raw-bin"] == bytes(range(256))


def check_server_streaming(channel):
    messages = list(channel.unary_stream("/petit.Test/Download")(b"5000", timeout=60))
    assert messages == [b"message %d" % number for number in range(5000)]


def check_client_streaming(channel):
    messages = (b"x" * number for number in range(2000))
    assert channel.stream_unary("/petit.Test/Upload")(messages, timeout=60) == b"2000 1999000"


def check_bidirectional(channel):
    turn = threading.Semaphore(0)

    def requests():
        for number in range(200):
            turn.acquire()
            yield b"%d" % number

    answers = channel.stream_stream("/petit.Test/Chat")(requests(), timeout=60)
    for number in range(200):
        turn.release()  # not before the last answer has come
        assert next(answers) == b"you said %d" % number
    assert list(answers) == []


def check_errors(channel):
    try:
        channel.unary_unary("/petit.Test/Fail")(b"", timeout=30)
        raise AssertionError("it did not fail")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.NOT_FOUND and error.details() == DETAILS
        assert dict(error.trailing_metadata())["x-why-bin"] == b"\x00\xff"
    answers = channel.unary_stream("/petit.Test/FailLate")(b"", timeout=30)
    assert next(answers) == b"one message"
    try:
        next(answers)
        raise AssertionError("it did not fail")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.DATA_LOSS and error.details() == "then nothing"
    try:
        channel.unary_unary("/petit.Test/Nothing")(b"", timeout=30)
        raise AssertionError("there is no such method")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED


def check_deadline(channel):
    try:
        channel.unary_unary("/petit.Test/Hang")(b"", timeout=1)
        raise AssertionError("it came back")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert_noticed(channel, b"hang")


def check_cancel(channel):
    more = threading.Event()

    def requests():
        yield b"first"
        more.wait(60)

    metadata = [("x-text", "to be cancelled")]
    answers = channel.stream_stream("/petit.Test/Chat")(requests(), metadata=metadata)
    assert next(answers) == b"you said first"
    answers.cancel()
    assert_noticed(channel, b"chat")
    more.set()


def assert_noticed(channel, call):
    """The service has been told that a call has ended, on a connection that goes on."""
    assert channel.unary_unary("/petit.Test/Noticed")(call, timeout=30) == b"yes"


def check_many_at_once(channel):
    method = channel.unary_unary("/petit.Test/Unary")
    calls = [method.future(b"%d" % number, timeout=60) for number in range(300)]
    assert [call.result() for call in calls] == [b"%d" % number for number in range(300)]


def fail_call(address, authority):
    with channel_to(address, authority, None) as channel:
        try:
            channel.unary_unary("/petit.Test/Unary")(b"", timeout=30)
            say("it succeeded")
        except grpc.RpcError as error:
            say(f"status {error.code().name}")


if __name__ == "__main__":
    {"serve": serve, "call": call, "fail": fail_call}[sys.argv[1]](*sys.argv[2:])

"""As much SIP as it takes to ask whether a server is there."""

import asyncio
import secrets
import socket

# Seconds that a server may take to answer.
PATIENCE = 2.0


async def answers_options(host: str, port: int) -> bool:
    """Send an OPTIONS by UDP and tell whether a 200 came back."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.setblocking(False)
        peer.connect((host, port))
        local = "{}:{}".format(*peer.getsockname())
        request = (
            f"OPTIONS sip:{host}:{port} SIP/2.0\r\n"
            f"Via: SIP/2.0/UDP {local};rport;branch=z9hG4bK{secrets.token_hex(8)}\r\n"
            "Max-Forwards: 70\r\n"
            f"From: <sip:demo@{local}>;tag={secrets.token_hex(8)}\r\n"
            f"To: <sip:{host}:{port}>\r\n"
            f"Call-ID: {secrets.token_hex(8)}@{host}\r\n"
            "CSeq: 1 OPTIONS\r\n"
            "Content-Length: 0\r\n"
            "\r\n"
        )
        try:
            async with asyncio.timeout(PATIENCE):
                await loop.sock_sendall(peer, request.encode())
                answer = await loop.sock_recv(peer, 65535)
        except OSError:  # a TimeoutError is one, too
            return False
    return answer.startswith(b"SIP/2.0 200 ")

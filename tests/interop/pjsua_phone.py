#!/usr/bin/env python3
"""One phone of pjsip, told what to do by lines of JSON, and telling what happens.

    pjsua_phone.py USER PASSWORD REGISTRAR PROXY TRANSPORT

It runs with the Python that pjsua2 is installed for, which need not be the tests' own.
Standard input: {"do": "call", "to": "sip:…"}, hold, unhold, hangup, transfer (of the
first call to the second, RFC 3891), quit. Standard output: {"event": …}.
"""

# mypy: ignore-errors
# ruff: noqa: ANN001, ANN003, ANN201

import json
import os
import select
import sys

import pjsua2 as pj


def tell(**event):
    """Write an event."""
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


class Call(pj.Call):
    """A call that tells what becomes of it."""

    def onCallState(self, _):
        """Tell the state."""
        info = self.getInfo()
        tell(
            event="call",
            id=self.getId(),
            state=info.stateText,
            code=info.lastStatusCode,
        )
        if info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            CALLS.remove(self)

    def onCallMediaState(self, _):
        """Tell whether the media are on hold."""
        # Only as long as `info` lives.
        info = self.getInfo()
        held = any(
            info.media[index].status
            in (pj.PJSUA_CALL_MEDIA_LOCAL_HOLD, pj.PJSUA_CALL_MEDIA_REMOTE_HOLD)
            for index in range(len(info.media))
        )
        tell(event="media", id=self.getId(), held=held)

    def onCallTransferStatus(self, status):
        """Tell how a transfer goes."""
        tell(event="transfer", code=status.statusCode)


CALLS = []


class Account(pj.Account):
    """The account of the phone; it takes each call."""

    registered = False

    def onRegState(self, status):
        """Tell the answer to a REGISTER."""
        tell(event="registered", code=status.code, expires=status.expiration)
        self.registered = status.code == pj.PJSIP_SC_OK

    def onIncomingCall(self, incoming):
        """Take a call."""
        call = Call(self, incoming.callId)
        CALLS.append(call)
        tell(event="incoming", id=incoming.callId)
        operation = pj.CallOpParam()
        operation.statusCode = pj.PJSIP_SC_OK
        call.answer(operation)

    def onMwiInfo(self, info):
        """Tell that voice mail was told of."""
        tell(event="mwi", body=info.rdata.wholeMsg.partition("\r\n\r\n")[2])


def do(account, order):
    """Carry an order out."""
    what = order["do"]
    operation = pj.CallOpParam(True)
    if what == "call":
        call = Call(account)
        CALLS.append(call)
        call.makeCall(order["to"], operation)
    elif what == "hold":
        CALLS[0].setHold(pj.CallOpParam())
    elif what == "unhold":
        operation.opt.flag = pj.PJSUA_CALL_UNHOLD
        CALLS[0].reinvite(operation)
    elif what == "hangup":
        CALLS[0].hangup(operation)
    elif what == "transfer":
        CALLS[0].xferReplaces(CALLS[1], operation)


def main():
    """Register and do what is told."""
    user, password, registrar, proxy, transport = sys.argv[1:]
    endpoint = pj.Endpoint()
    endpoint.libCreate()
    config = pj.EpConfig()
    config.uaConfig.threadCnt = 0
    config.uaConfig.mainThreadOnly = True
    config.logConfig.level = int(os.environ.get("PJSIP_LOG", "0"))
    config.logConfig.consoleLevel = config.logConfig.level
    endpoint.libInit(config)
    endpoint.audDevManager().setNullDev()
    settings = pj.TransportConfig()
    kind = pj.PJSIP_TRANSPORT_TCP if transport == "tcp" else pj.PJSIP_TRANSPORT_UDP
    settings.boundAddress = "127.0.0.1"
    endpoint.transportCreate(kind, settings)
    endpoint.libStart()
    suffix = ";transport=tcp" if transport == "tcp" else ""
    account_config = pj.AccountConfig()
    account_config.idUri = f"sip:{user}@{registrar}"
    account_config.regConfig.registrarUri = f"sip:{registrar}"
    account_config.regConfig.timeoutSec = 300
    account_config.regConfig.retryIntervalSec = 1
    account_config.regConfig.firstRetryIntervalSec = 1
    account_config.regConfig.randomRetryIntervalSec = 0
    account_config.sipConfig.authCreds.append(
        pj.AuthCredInfo("digest", "*", user, 0, password)
    )
    account_config.sipConfig.proxies.append(f"sip:{proxy}{suffix};lr")
    account = Account()
    account.create(account_config)
    waiting = b""
    while True:
        endpoint.libHandleEvents(20)
        if account.registered and not account_config.mwiConfig.enabled:
            # Not before: who is not registered may not subscribe.
            account_config.mwiConfig.enabled = True
            account.modify(account_config)
        if select.select([sys.stdin], [], [], 0)[0]:
            data = os.read(sys.stdin.fileno(), 4096)
            if not data:
                break
            waiting += data
            *lines, waiting = waiting.split(b"\n")
            for line in lines:
                do(account, json.loads(line))
    CALLS.clear()
    endpoint.libDestroy()


main()

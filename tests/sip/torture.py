r"""Messages in the spirit of RFC 4475 and RFC 5118, and what each must lead to.

The names are those of the RFCs' messages. The messages are our own: the same twist on
requests that this server serves, OPTIONS wherever the method does not matter.

PORT stands for the sender's port. A text is written line by line; two backslashes and
a hexadecimal number in angle brackets are one octet (`\<00>`).
"""

from dataclasses import dataclass
import re
from textwrap import dedent

SILENCE = None


@dataclass(frozen=True, kw_only=True)
class Torture:
    """One message."""

    name: str
    why: str
    octets: bytes
    status: int | None
    """The status of the answer; None where there must be none."""
    signed: bool = False
    """Whether it is to be sent with credentials."""
    says: tuple[str, ...] = ()
    """What must stand in the answer."""
    rows: tuple[str, ...] = ()
    """Rows of docs/sip-conformance.md."""


def octets(text: str, body: bytes = b"") -> bytes:
    """Return the octets of a message written as indented text."""
    lines = dedent(text).strip("\n").replace("\n", "\r\n") + "\r\n\r\n"
    plain = re.sub(r"\\<(..)>", lambda found: chr(int(found[1], 16)), lines)
    return plain.encode("latin-1") + body


def vias_by_turns(count: int) -> bytes:
    """Return the Vias of so many hops, their names spelled by turns in each way."""
    names = ("Via", "v", "V", "ViA", "VIa", "VIA", "via", "viA", "vIa", "vIA", "via ")
    return "".join(
        f"{names[hop % len(names)]}: SIP/2.0/TCP sip{hop}.example.com\r\n"
        for hop in range(count, 0, -1)
    ).encode()


VALID = [
    Torture(
        name="wsinv",
        why="white space, folds, compact names and strange values in all places",
        octets=octets(
            r"""
            OPTIONS sip:201@chair.example;unknownparam SIP/2.0
            TO :
             sip:201@chair.example ;   tag    = 1918181833n
            From   : "J Doe \\\""       <sip:jdoe@phone.example>
              ;
              tag = 98asjd8
            MaX-fOrWaRdS: 0068
            Call-ID: wsinv.ndaksdj@192.0.2.1
            Content-Length   : 0
            cseq: 0009
              OPTIONS
            Via  : SIP  /   2.0
             /UDP
                127.0.0.1:PORT;branch=390skdjuw
            s :
            NewFangledHeader:   newfangled value
             continued newfangled value
            UnknownHeaderWithUnusualValue: ;;,,;;,;
            Route:
             <sip:services.example;lr;unknownwith=value;unknown-no-value>
            v:  SIP  / 2.0  / TCP     spindle.example   ;
              branch  =   z9hG4bK9ikj8  ,
             SIP  /    2.0   / UDP  192.168.255.111   ; branch=
             z9hG4bK30239
            m:"Quoted string \"\"" <sip:jdoe@phone.example> ; newparam =
                  newvalue ;
              secondparam ; q = 0.33
            """
        ),
        status=200,
        says=("branch=390skdjuw", "z9hG4bK9ikj8", "z9hG4bK30239", "1918181833n"),
        rows=("A1", "A2", "A3", "A10"),
    ),
    Torture(
        name="intmeth",
        why="all characters that a method, a user, a name and a Call-ID may hold",
        octets=octets(
            r"""
            !interesting-Method0123456789_*+`.%indeed'~ sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@example.com SIP/2.0
            Via: SIP/2.0/UDP 127.0.0.1:PORT;branch=z9hG4bK-.!%66*_+`'~;rport
            To: "BEL:\\<07> NUL:\\<00> DEL:\\<7F>" <sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@example.com>
            From: token1~` token2'+_ token3*%!.- <sip:mundane@example.com>;fromParam''~+*_!.-%="\<D1>\<80>\<D0>\<B0>";tag=_token~1'+`*%!-.
            Call-ID: intmeth.word%ZK-!.*_+'@word`~)(><:\/"][?}{
            CSeq: 139122385 !interesting-Method0123456789_*+`.%indeed'~
            Max-Forwards: 255
            extensionHeader-!.%*+_`'~:\<EF>\<BB>\<BF>\<E5>\<A4>\<A7>
            Content-Length: 0
            """
        ),
        status=501,
        says=("Allow: ", "Call-ID: intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{\r\n"),
        rows=("A7", "A21"),
    ),
    Torture(
        name="esc01",
        why="escapes in the user part that would be delimiters without them",
        octets=octets(
            """
            OPTIONS sip:sips%3Auser%40example.com@example.net SIP/2.0
            To: sip:%75se%72@example.com
            From: <sip:I%20have%20spaces@example.net>;tag=938
            Max-Forwards: 87
            i: esc01.239409asdfakjkn23onasd0-3234
            CSeq: 234234 OPTIONS
            Via: SIP/2.0/UDP 127.0.0.1:PORT;branch=z9hG4bKkdjuw;rport
            C: application/sdp
            Contact: <sip:cal%6Cer@host5.example.net;%6C%72;n%61me=v%61lue%25%34%31>
            Content-Length: 0
            """
        ),
        status=200,
        says=("To: sip:%75se%72@example.com;tag=",),
        rows=("A7", "A8"),
    ),
    Torture(
        name="escnull",
        why="an escaped NUL in the address-of-record is one more character of it",
        octets=octets(
            """
            REGISTER sip:example.com SIP/2.0
            To: sip:null-%00-null@example.com
            From: sip:null-%00-null@example.com;tag=839923423
            Max-Forwards: 70
            Call-ID: escnull.39203ndfvkjdasfkq3w4otrq0adsfdfnavd
            CSeq: 14398234 REGISTER
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bKkdjuw
            Contact: <sip:%00@host5.example.com>
            Contact: <sip:%00%00@host5.example.com>
            L:0
            """
        ),
        signed=True,
        status=404,
        rows=("G5",),
    ),
    Torture(
        name="esc02",
        why="an escape in a method is no escape",
        octets=octets(
            """
            RE%47IST%45R sip:registrar.example SIP/2.0
            To: "%Z%45" <sip:resource@example.com>
            From: "%Z%45" <sip:resource@example.com>;tag=f232jadfj23
            Call-ID: esc02.asdfnqwo34rq23i34jrjasdcnl23nrlknsdf
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bK209%fzsnel234
            CSeq: 29344 RE%47IST%45R
            Max-Forwards: 70
            Contact: <sip:alias1@host1.example.com>
            C%6Fntact: <sip:alias2@host2.example.com>
            Contact: <sip:alias3@host3.example.com>
            l: 0
            """
        ),
        status=501,
        says=("Allow: ", 'To: "%Z%45" <sip:resource@example.com>;tag='),
        rows=("A21",),
    ),
    Torture(
        name="lwsdisp",
        why="no white space between a display name and its address",
        octets=octets(
            """
            OPTIONS sip:user@example.com SIP/2.0
            To: "user"<sip:user@example.com>
            From: caller<sip:caller@example.com>;tag=323
            Max-Forwards: 70
            Call-ID: lwsdisp.1234abcd@funky.example.com
            CSeq: 60 OPTIONS
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bKkdjuw
            l: 0
            """
        ),
        status=200,
    ),
    Torture(
        name="longreq",
        why="long values in every field, and as many Vias as hops",
        octets=octets(
            f"""
            OPTIONS sip:user@example.com SIP/2.0
            To: "I have a user name of {"extreme" * 10} proportion"<sip:user@example.com:6000;unknownparam1={"very" * 10}longvalue;longparam{"name" * 10}=shortvalue;{"very" * 10}LongParameterNameWithNoValue>
            F: sip:{"amazinglylong" * 5}callername@example.net;tag=12{"982" * 50}424;unknownheaderparam{"name" * 20}=unknowheaderparam{"value" * 15};unknownValueless{"paramname" * 10}
            Call-ID: longreq.one{"really" * 20}longcallid
            CSeq: 3882340 OPTIONS
            Unknown-{"Long" * 20}-Name: unknown-{"long" * 20}-value; unknown-{"long" * 20}-parameter-name = unknown-{"long" * 20}-parameter-value
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bK{"long" * 30}
            VIAS
            v: SIP/2.0/TCP host.example.com;received=192.0.2.5;branch=very{"long" * 50}branchvalue
            Max-Forwards: 70
            Contact: <sip:{"amazinglylong" * 5}callername@host5.example.net>
            l: 0
            """
        ).replace(b"VIAS\r\n", vias_by_turns(33)),
        status=200,
        says=(
            f"Call-ID: longreq.one{'really' * 20}longcallid\r\n",
            *(f"Via: SIP/2.0/TCP sip{hop}.example.com\r\n" for hop in range(1, 34)),
        ),
        rows=("A23",),
    ),
    Torture(
        name="dblreq",
        why="a second request behind the first in one datagram is dropped",
        octets=octets(
            """
            OPTIONS sip:example.com SIP/2.0
            To: sip:j.user@example.com
            From: sip:j.user@example.com;tag=43251j3j324
            Max-Forwards: 8
            I: dblreq.0ha0isndaksdj99sdfafnl3lk233412
            Contact: sip:j.user@host.example.com
            CSeq: 8 OPTIONS
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bKkdjuw23492
            Content-Length: 0


            OPTIONS sip:joe@example.com SIP/2.0
            t: sip:joe@example.com
            From: sip:caller@example.net;tag=141334
            Max-Forwards: 8
            Call-ID: dblreq.0ha0isnda977644900765@192.0.2.15
            CSeq: 8 OPTIONS
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bKkdjuw380234
            Content-Length: 0
            """
        ),
        status=200,
        says=("dblreq.0ha0isndaksdj99sdfafnl3lk233412",),
        rows=("A17",),
    ),
    Torture(
        name="semiuri",
        why="semicolons in the user part are not parameters of the URI",
        octets=octets(
            """
            OPTIONS sip:user;par=u%40example.net@example.com SIP/2.0
            To: sip:j_user@example.com
            From: sip:caller@example.org;tag=33242
            Max-Forwards: 3
            Call-ID: semiuri.0ha0isndaksdj
            CSeq: 8 OPTIONS
            Accept: application/sdp, application/pkcs7-mime,
                    multipart/mixed, multipart/signed,
                    message/sip, message/sipfrag
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bKkdjuw
            l: 0
            """
        ),
        status=200,
    ),
    Torture(
        name="transports",
        why="Vias of transports that are known and unknown",
        octets=octets(
            """
            OPTIONS sip:user@example.com SIP/2.0
            To: sip:user@example.com
            From: <sip:caller@example.com>;tag=323
            Max-Forwards: 70
            Call-ID: transports.kijh4akdnaqjkwendsasfdj
            Accept: application/sdp
            CSeq: 60 OPTIONS
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bKkdjuw
            Via: SIP/2.0/SCTP t1.example.com;branch=z9hG4bKkdjuw
            Via: SIP/2.0/TLS t2.example.com;branch=z9hG4bKkdjuw
            Via: SIP/2.0/UNKNOWN t3.example.com;branch=z9hG4bKkdjuw
            Via: SIP/2.0/TCP t4.example.com;branch=z9hG4bKkdjuw
            l: 0
            """
        ),
        status=200,
        says=("SCTP t1.", "TLS t2.", "UNKNOWN t3.", "TCP t4."),
    ),
    Torture(
        name="mpart01",
        why="a body of several parts, one of them with NUL and other binary octets",
        octets=octets(
            """
            SUBSCRIBE sip:201@example.com SIP/2.0
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bK-d87543-4dade06d0bdb11ee
            Max-Forwards: 70
            Route: <sip:192.0.2.62:5060;lr>
            To: <sip:201@example.com>
            From: <sip:201@example.com>;tag=5562e2a3
            Call-ID: mpart01.NDg4MzExNzZkMmQyZTQ0ZGY1Mjg5
            CSeq: 1 SUBSCRIBE
            Event: echo
            Contact: <sip:201@127.0.0.1:PORT>
            Content-Type: multipart/mixed;boundary=7a9cbec02ceef655
            """,
            b"--7a9cbec02ceef655\r\nContent-Type: text/plain\r\n\r\nHello\r\n"
            b"--7a9cbec02ceef655\r\nContent-Type: application/octet-stream\r\n\r\n"
            b"\x30\x82\x01\x52\x06\x00\x00\xff\xfe\r\n\r\n\x80\r\n"
            b"--7a9cbec02ceef655--\r\n",
        ),
        signed=True,
        status=415,
        says=("Accept: text/plain",),
        rows=("A20", "B7"),
    ),
    Torture(
        name="unreason",
        why="a response to nothing, its reason in UTF-8",
        octets=octets(
            r"""
            SIP/2.0 200 = 2**3 * 5**2 \<D0>\<BD>\<D0>\<BE> \<D1>\<81>\<D1>\<82>\<D0>\<BE>
            Via: SIP/2.0/UDP 127.0.0.1:PORT;branch=z9hG4bK1324923
            Call-ID: unreason.1234ksdfak3j2erwedfsASdf
            CSeq: 35 NOTIFY
            From: sip:user@example.com;tag=11141343
            To: sip:user@example.edu;tag=2229
            Content-Length: 0
            Contact: <sip:user@host198.example.com>
            """
        ),
        status=SILENCE,
        rows=("B22",),
    ),
    Torture(
        name="noreason",
        why="a response with an empty reason",
        octets=octets(
            """
            SIP/2.0 100\N{SPACE}
            Via: SIP/2.0/UDP 127.0.0.1:PORT;branch=z9hG4bK2398ndaoe
            Call-ID: noreason.asndj203insdf99223ndf
            CSeq: 35 NOTIFY
            From: <sip:user@example.com>;tag=39ansfi3
            To: <sip:user@example.edu>;tag=902jndnke3
            Content-Length: 0
            Contact: <sip:user@host105.example.com>
            """
        ),
        status=SILENCE,
        rows=("B22",),
    ),
]

INVALID = [
    Torture(
        name="badinv01",
        why="separators with nothing between them in Via and Contact",
        octets=octets(
            """
            OPTIONS sip:user@example.com SIP/2.0
            To: sip:j.user@example.com
            From: sip:caller@example.net;tag=134161461246
            Max-Forwards: 7
            Call-ID: badinv01.0ha0isndaksdjasdf3234nas
            CSeq: 8 OPTIONS
            Via: SIP/2.0/UDP 127.0.0.1:PORT;;,;,,
            Contact: "Joe" <sip:joe@example.org>;;;;
            Content-Length: 0
            """
        ),
        status=400,
        says=("Call-ID: badinv01.", "From: sip:caller@example.net;tag=134161461246"),
        rows=("A16",),
    ),
    Torture(
        name="clerr",
        why="a Content-Length larger than the datagram",
        octets=octets(
            """
            OPTIONS sip:user@example.com SIP/2.0
            Max-Forwards: 80
            To: sip:j.user@example.com
            From: sip:caller@example.net;tag=93942939o2
            Contact: <sip:caller@hungry.example.net>
            Call-ID: clerr.0ha0isndaksdjweiafasdk3
            CSeq: 8 OPTIONS
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bK-39234-23523
            Content-Type: application/sdp
            Content-Length: 9999
            """,
            b"v=0\r\n",
        ),
        status=400,
        rows=("A18",),
    ),
    Torture(
        name="ncl",
        why="a negative Content-Length",
        octets=octets(
            """
            OPTIONS sip:user@example.com SIP/2.0
            Max-Forwards: 254
            To: sip:j.user@example.com
            From: sip:caller@example.net;tag=32394234
            Call-ID: ncl.0ha0isndaksdj2193423r542w35
            CSeq: 0 OPTIONS
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bKkdjuw
            Contact: <sip:caller@example53.example.net>
            Content-Type: application/sdp
            Content-Length: -999
            """,
            b"v=0\r\n",
        ),
        status=400,
        rows=("A18",),
    ),
    Torture(
        name="scalar02",
        why="numbers of a request far beyond their limits",
        octets=octets(
            """
            REGISTER sip:example.com SIP/2.0
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bK342sdfoi3
            To: <sip:user@example.com>
            From: <sip:user@example.com>;tag=239232jh3
            CSeq: 36893488147419103232 REGISTER
            Call-ID: scalar02.23o0pd9vanlq3wnrlnewofjas9ui32
            Max-Forwards: 300
            Expires: 10000000000000000000000000000000000000000
            Contact: <sip:user@host129.example.com>;expires=280297596632815
            Content-Length: 0
            """
        ),
        status=400,
        rows=("A14",),
    ),
    Torture(
        name="scalarlg",
        why="numbers of a response far beyond their limits",
        octets=octets(
            """
            SIP/2.0 503 Service Unavailable
            Via: SIP/2.0/UDP 127.0.0.1:PORT;branch=z9hG4bKzzxdiwo34sw;received=192.0.2.129
            To: <sip:user@example.com>
            From: <sip:other@example.net>;tag=2easdjfejw
            CSeq: 9292394834772304023312 NOTIFY
            Call-ID: scalarlg.noase0of0234hn2qofoaf0232aewf2394r
            Retry-After: 949302838503028349304023988
            Warning: 1812 overture "In Progress"
            Content-Length: 0
            """
        ),
        status=SILENCE,
        rows=("B22",),
    ),
    Torture(
        name="quotbal",
        why="a quoted string that does not end",
        octets=octets(
            """
            OPTIONS sip:user@example.com SIP/2.0
            To: "Mr. J. User <sip:j.user@example.com>
            From: sip:caller@example.net;tag=93334
            Max-Forwards: 10
            Call-ID: quotbal.aksdj
            Contact: <sip:caller@host59.example.net>
            CSeq: 8 OPTIONS
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bKkdjuw39234
            Content-Length: 0
            """
        ),
        status=400,
        says=('To: "Mr. J. User <sip:j.user@example.com>',),
        rows=("A16",),
    ),
    Torture(
        name="ltgtruri",
        why="a Request-URI in angle brackets",
        octets=octets(
            """
            OPTIONS <sip:user@example.com> SIP/2.0
            To: sip:user@example.com
            From: sip:caller@example.net;tag=39291
            Max-Forwards: 23
            Call-ID: ltgtruri.1@192.0.2.5
            CSeq: 1 OPTIONS
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bKkdjuw
            Contact: <sip:caller@host5.example.net>
            Content-Length: 0
            """
        ),
        status=400,
        says=("Call-ID: ltgtruri.1@192.0.2.5",),
        rows=("A16",),
    ),
    Torture(
        name="lwsruri",
        why="white space in the Request-URI",
        octets=octets(
            """
            OPTIONS sip:user@example.com; lr SIP/2.0
            To: sip:user@example.com;tag=3xfe-9921883-z9f
            From: sip:caller@example.net;tag=231413434
            Max-Forwards: 5
            Call-ID: lwsruri.asdfasdoeoi2323-asdfwrn23-asd834rk423
            CSeq: 2130706432 OPTIONS
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bKkdjuw2395
            Contact: <sip:caller@host1.example.net>
            Content-Length: 0
            """
        ),
        status=400,
        says=("To: sip:user@example.com;tag=3xfe-9921883-z9f\r\n",),
        rows=("A16",),
    ),
    Torture(
        name="lwsstart",
        why="two spaces between the parts of the start line",
        octets=octets(
            """
            OPTIONS  sip:user@example.com  SIP/2.0
            Max-Forwards: 8
            To: sip:user@example.com
            From: sip:caller@example.net;tag=8814
            Call-ID: lwsstart.dfknq234oi243099adsdfnawe3@example.com
            CSeq: 1893884 OPTIONS
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bKkdjuw3923
            Contact: <sip:caller@host1.example.net>
            Content-Length: 0
            """
        ),
        status=400,
        rows=("A16",),
    ),
    Torture(
        name="trws",
        why="spaces behind the version",
        octets=octets(
            """
            OPTIONS sip:remote-target@example.com SIP/2.0\N{SPACE}\N{SPACE}
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bK299342093
            To: <sip:remote-target@example.com>
            From: <sip:local-resource@example.com>;tag=329429089
            Call-ID: trws.oicu34958239neffasdhr2345r
            Accept: application/sdp
            CSeq: 238923 OPTIONS
            Max-Forwards: 70
            Content-Length: 0
            """
        ),
        status=400,
        rows=("A16",),
    ),
    Torture(
        name="escruri",
        why="header fields in the Request-URI, which the RFC lets a server ignore",
        octets=octets(
            """
            OPTIONS sip:user@example.com?Route=%3Csip:example.com%3E SIP/2.0
            To: sip:user@example.com
            From: sip:caller@example.net;tag=341518
            Max-Forwards: 7
            Contact: <sip:caller@host39923.example.net>
            Call-ID: escruri.23940-asdfhj-aje3br-234q098w-fawerh2q-h4n5
            CSeq: 149209342 OPTIONS
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bKkdjuw
            Content-Length: 0
            """
        ),
        status=200,
    ),
    Torture(
        name="baddate",
        why="a Date that is none, which nobody here needs",
        octets=octets(
            """
            OPTIONS sip:user@example.com SIP/2.0
            To: sip:user@example.com
            From: sip:caller@example.net;tag=2234923
            Max-Forwards: 70
            Call-ID: baddate.239423mnsadf3j23lj42--sedfnm234
            CSeq: 1392934 OPTIONS
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bKkdjuw
            Date: Fri, 01 Jan 2010 16:00:00 EST
            Contact: <sip:caller@host5.example.net>
            Content-Length: 0
            """
        ),
        status=200,
        rows=("A10",),
    ),
    Torture(
        name="regbadct",
        why="a Contact with header fields that is not in angle brackets",
        octets=octets(
            """
            REGISTER sip:example.com SIP/2.0
            To: sip:201@example.com
            From: sip:201@example.com;tag=998332
            Max-Forwards: 70
            Call-ID: regbadct.k345asrl3fdbv@10.0.0.1
            CSeq: 1 REGISTER
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bKkdjuw
            Contact: sip:201@example.com?Route=%3Csip:sip.example.com%3E
            l: 0
            """
        ),
        signed=True,
        status=400,
        rows=("A16",),
    ),
    Torture(
        name="badaspec",
        why="spaces around the URI in its brackets, which are read over",
        octets=octets(
            """
            OPTIONS sip:user@example.org SIP/2.0
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bKkdju43234
            Max-Forwards: 70
            From: "Bell, Alexander" <sip:a.g.bell@example.com>;tag=433423
            To: "Watson, Thomas" < sip:t.watson@example.org >
            Call-ID: badaspec.sdf0234n2nds0a099u23h3hnnw009cdkne3
            Accept: application/sdp
            CSeq: 3923239 OPTIONS
            l: 0
            """
        ),
        status=200,
        says=('To: "Watson, Thomas" < sip:t.watson@example.org >;tag=',),
    ),
    Torture(
        name="baddn",
        why="a comma in a display name without quotes, which nobody here needs",
        octets=octets(
            """
            OPTIONS sip:t.watson@example.org SIP/2.0
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bKkdjuw
            Max-Forwards: 70
            From: Bell, Alexander <sip:a.g.bell@example.com>;tag=43
            To: Watson, Thomas <sip:t.watson@example.org>
            Call-ID: baddn.31415@c.example.com
            Accept: application/sdp
            CSeq: 3923239 OPTIONS
            l: 0
            """
        ),
        status=200,
    ),
    Torture(
        name="badvers",
        why="a version of SIP that nobody speaks",
        octets=octets(
            """
            OPTIONS sip:t.watson@example.org SIP/7.0
            Via: SIP/7.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bKkdjuw
            Max-Forwards: 70
            From: A. Bell <sip:a.g.bell@example.com>;tag=qweoiqpe
            To: T. Watson <sip:t.watson@example.org>
            Call-ID: badvers.31417@c.example.com
            CSeq: 1 OPTIONS
            l: 0
            """
        ),
        status=505,
        rows=("A11",),
    ),
    Torture(
        name="mismatch01",
        why="a known method, another one in CSeq",
        octets=octets(
            """
            OPTIONS sip:user@example.com SIP/2.0
            To: sip:j.user@example.com
            From: sip:caller@example.net;tag=34525
            Max-Forwards: 6
            Call-ID: mismatch01.dj0234sxdfl3
            CSeq: 8 REGISTER
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bKkdjuw
            l: 0
            """
        ),
        status=400,
        rows=("A13",),
    ),
    Torture(
        name="mismatch02",
        why="an unknown method, another one in CSeq",
        octets=octets(
            """
            NEWMETHOD sip:user@example.com SIP/2.0
            To: sip:j.user@example.com
            From: sip:caller@example.net;tag=34525
            Max-Forwards: 6
            Call-ID: mismatch02.dj0234sxdfl3
            CSeq: 8 INVITE
            Contact: <sip:caller@host.example.net>
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bKkdjuw
            l: 0
            """
        ),
        status=501,
        says=("Allow: ",),
        rows=("A13",),
    ),
    Torture(
        name="bigcode",
        why="a status that is no status",
        octets=octets(
            """
            SIP/2.0 4294967301 better not break the receiver
            Via: SIP/2.0/UDP 127.0.0.1:PORT;branch=z9hG4bKkdjuw;received=192.0.2.5
            Call-ID: bigcode.asdof3uj203asdnf3429uasdhfas3ehjasdfas9i
            CSeq: 353494 NOTIFY
            From: <sip:user@example.com>;tag=39ansfi3
            To: <sip:user@example.edu>;tag=902jndnke3
            Content-Length: 0
            Contact: <sip:user@host105.example.com>
            """
        ),
        status=SILENCE,
        rows=("B22",),
    ),
]

LAYERS_ABOVE = [
    Torture(
        name="badbranch",
        why="a branch that is the cookie alone",
        octets=octets(
            """
            OPTIONS sip:user@example.com SIP/2.0
            To: sip:user@example.com
            From: sip:caller@example.org;tag=33242
            Max-Forwards: 3
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bK
            Accept: application/sdp
            Call-ID: badbranch.sadonfo23i420jv0as0derf3j3n
            CSeq: 8 OPTIONS
            l: 0
            """
        ),
        status=200,
        rows=("C3",),
    ),
    Torture(
        name="insuf",
        why="no To, no From, no Call-ID",
        octets=octets(
            """
            OPTIONS sip:user@example.com SIP/2.0
            CSeq: 193942 OPTIONS
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bKkdj.insuf
            Content-Type: application/sdp
            l: 0
            """
        ),
        status=400,
        rows=("A12",),
    ),
    Torture(
        name="unkscm",
        why="a Request-URI of a scheme that nobody knows",
        octets=octets(
            """
            OPTIONS nobodyKnowsThisScheme:totallyopaquecontent SIP/2.0
            To: sip:user@example.com
            From: sip:caller@example.net;tag=384
            Max-Forwards: 3
            Call-ID: unkscm.nasdfasser0q239nwsdfasdkl34
            CSeq: 3923423 OPTIONS
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bKkdjuw39234
            Content-Length: 0
            """
        ),
        status=416,
        rows=("B3",),
    ),
    Torture(
        name="novelsc",
        why="a Request-URI of a scheme that is of no use here",
        octets=octets(
            """
            OPTIONS soap.beep://192.0.2.103:3002 SIP/2.0
            To: sip:user@example.com
            From: sip:caller@example.net;tag=384
            Max-Forwards: 3
            Call-ID: novelsc.asdfasser0q239nwsdfasdkl34
            CSeq: 3923423 OPTIONS
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bKkdjuw39234
            Content-Length: 0
            """
        ),
        status=416,
        rows=("B3",),
    ),
    Torture(
        name="unksm2",
        why="other schemes in To, From and Contact of a REGISTER",
        octets=octets(
            """
            REGISTER sip:example.com SIP/2.0
            To: isbn:2983792873
            From: <http://www.example.com>;tag=3234233
            Call-ID: unksm2.daksdj@hyphenated-host.example.com
            CSeq: 234902 REGISTER
            Max-Forwards: 70
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bKkdjuw
            Contact: <name:John_Smith>
            l: 0
            """
        ),
        signed=True,
        status=404,
        rows=("G5",),
    ),
    Torture(
        name="bext01",
        why="two extensions that nothing supports",
        octets=octets(
            """
            OPTIONS sip:user@example.com SIP/2.0
            To: sip:j_user@example.com
            From: sip:caller@example.net;tag=242etr
            Max-Forwards: 6
            Call-ID: bext01.0ha0isndaksdj
            Require: nothingSupportsThis, path, nothingSupportsThisEither
            Proxy-Require: noProxiesSupportThis, norDoAnyProxiesSupportThis
            CSeq: 8 OPTIONS
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bK-39234-23523
            Content-Length: 0
            """
        ),
        status=420,
        says=("Unsupported: nothingsupportsthis, nothingsupportsthiseither\r\n",),
        rows=("B6",),
    ),
    Torture(
        name="invut",
        why="a body of a type that nobody knows",
        octets=octets(
            """
            SUBSCRIBE sip:201@example.com SIP/2.0
            Contact: <sip:201@127.0.0.1:PORT>
            To: sip:201@example.com
            From: sip:201@example.net;tag=8392034
            Max-Forwards: 70
            Call-ID: invut.0ha0isndaksdjadsfij34n23d
            CSeq: 235448 SUBSCRIBE
            Event: echo
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bKkdjuw
            Content-Type: application/unknownformat
            Content-Length: 36
            """,
            b"<audio>\r\n <pcmu port='443'/>\r\n</audio>"[:36],
        ),
        signed=True,
        status=415,
        says=("Accept: text/plain\r\n",),
        rows=("B7",),
    ),
    Torture(
        name="regaut01",
        why="credentials of a scheme that nobody knows",
        octets=octets(
            """
            REGISTER sip:example.com SIP/2.0
            To: sip:201@example.com
            From: sip:201@example.com;tag=87321hj23128
            Max-Forwards: 8
            Call-ID: regaut01.0ha0isndaksdj
            CSeq: 9338 REGISTER
            Via: SIP/2.0/TCP 127.0.0.1:PORT;rport;branch=z9hG4bKkdjuw
            Authorization: NoOneKnowsThisScheme opaque-data=here
            Content-Length:0
            """
        ),
        status=401,
        says=("WWW-Authenticate: Digest ",),
        rows=("H8",),
    ),
    Torture(
        name="multi01",
        why="fields that stand once stand several times, with different values",
        octets=octets(
            """
            OPTIONS sip:user@company.example SIP/2.0
            Contact: <sip:caller@host25.example.net>
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bKkdjuw
            Max-Forwards: 70
            CSeq: 5 OPTIONS
            Call-ID: multi01.98asdh@192.0.2.1
            CSeq: 59 OPTIONS
            Call-ID: multi01.98asdh@192.0.2.2
            From: sip:caller@example.com;tag=3413415
            To: sip:user@example.com
            To: sip:other@example.net
            From: sip:caller@example.net;tag=2923420123
            Content-Type: application/sdp
            l: 0
            Contact: <sip:caller@host36.example.net>
            Max-Forwards: 5
            """
        ),
        status=400,
        rows=("A15",),
    ),
    Torture(
        name="mcl01",
        why="two different Content-Lengths",
        octets=octets(
            """
            OPTIONS sip:user@example.com SIP/2.0
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bK293423
            To: sip:user@example.com
            From: sip:other@example.net;tag=3923942
            Call-ID: mcl01.fhn2323orihawfdoa3o4r52o3irsdf
            CSeq: 15932 OPTIONS
            Content-Length: 13
            Max-Forwards: 60
            Content-Length: 5
            Content-Type: text/plain
            """,
            b"There's no way to know how many octets are supposed to be here.\r\n",
        ),
        status=400,
        rows=("A15",),
    ),
    Torture(
        name="bcast",
        why="a response with a broadcast address in its second Via",
        octets=octets(
            """
            SIP/2.0 200 OK
            Via: SIP/2.0/UDP 192.0.2.198;branch=z9hG4bK1324923
            Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1saber23
            Call-ID: bcast.0384840201234ksdfak3j2erwedfsASdf
            CSeq: 35 NOTIFY
            From: sip:user@example.com;tag=11141343
            To: sip:user@example.edu;tag=2229
            Content-Length: 0
            Contact: <sip:user@host28.example.com>
            """
        ),
        status=SILENCE,
        rows=("B22",),
    ),
    Torture(
        name="zeromf",
        why="no hop left, which matters to proxies only",
        octets=octets(
            """
            OPTIONS sip:user@example.com SIP/2.0
            To: sip:user@example.com
            From: sip:caller@example.net;tag=3ghsd41
            Call-ID: zeromf.jfasdlfnm2o2l43r5u0asdfas
            CSeq: 39234321 OPTIONS
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bKkdjuw2349i
            Max-Forwards: 0
            Content-Length: 0
            """
        ),
        status=200,
        rows=("B23",),
    ),
    Torture(
        name="cparam01",
        why="an unknown parameter of a Contact without brackets is the Contact's",
        octets=octets(
            """
            REGISTER sip:example.com SIP/2.0
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bKkdjuw
            Max-Forwards: 70
            From: sip:201@example.com;tag=1
            To: sip:201@example.com
            Call-ID: cparam01.70710@saturn.example.com
            CSeq: 2 REGISTER
            Contact: sip:+19725552222@gw1.example.net;unknownparam
            l: 0
            """
        ),
        signed=True,
        status=200,
        says=("Contact: <sip:+19725552222@gw1.example.net>;unknownparam;expires=3600",),
        rows=("G13",),
    ),
    Torture(
        name="cparam02",
        why="an unknown parameter inside the brackets is the URI's",
        octets=octets(
            """
            REGISTER sip:example.com SIP/2.0
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bKkdjuw
            Max-Forwards: 70
            From: sip:201@example.com;tag=838293
            To: sip:201@example.com
            Call-ID: cparam02.70710@saturn.example.com
            CSeq: 3 REGISTER
            Contact: <sip:+19725552222@gw1.example.net;unknownparam>
            l: 0
            """
        ),
        signed=True,
        status=200,
        says=("Contact: <sip:+19725552222@gw1.example.net;unknownparam>;expires=3600",),
        rows=("G13",),
    ),
    Torture(
        name="regescrt",
        why="header fields in the URI of a Contact are kept",
        octets=octets(
            """
            REGISTER sip:example.com SIP/2.0
            To: sip:201@example.com
            From: sip:201@example.com;tag=8
            Max-Forwards: 70
            Call-ID: regescrt.k345asrl3fdbv@192.0.2.1
            CSeq: 14398234 REGISTER
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bKkdjuw
            M: <sip:user@example.com?Route=%3Csip:sip.example.com%3E>
            L:0
            """
        ),
        signed=True,
        status=200,
        says=("<sip:user@example.com?Route=%3Csip:sip.example.com%3E>;expires=3600",),
        rows=("G13",),
    ),
    Torture(
        name="sdp01",
        why="an Accept that names nothing of use, which phones' Accept often does",
        octets=octets(
            """
            SUBSCRIBE sip:201@example.com SIP/2.0
            To: sip:201@example.com
            Contact: <sip:201@127.0.0.1:PORT>
            From: sip:201@example.net;tag=234
            Max-Forwards: 5
            Call-ID: sdp01.ndaksdj9342dasdd
            Accept: text/nobodyKnowsThis
            CSeq: 8 SUBSCRIBE
            Event: echo
            Expires: 0
            Via: SIP/2.0/UDP 127.0.0.1:PORT;rport;branch=z9hG4bKkdjuw
            Content-Length: 0
            """
        ),
        signed=True,
        status=200,
        rows=("F18",),
    ),
    Torture(
        name="inv2543",
        why="a request of RFC 2543: no branch, no tag, no Max-Forwards",
        octets=octets(
            """
            OPTIONS sip:UserB@example.com SIP/2.0
            Via: SIP/2.0/UDP 127.0.0.1:PORT
            From: <sip:UserA@example.com>
            To: <sip:UserB@example.com>
            Call-ID: inv2543.1717@ift.client.example.com
            CSeq: 56 OPTIONS
            Content-Type: application/sdp
            """,
            b"v=0\r\no=mhandley 29739 7272939 IN IP4 192.0.2.5\r\n",
        ),
        status=200,
        rows=("A12",),
    ),
]

IPV6 = [
    Torture(
        name="ipv6-good",
        why="an IPv6 reference as Request-URI, in Via and in Contact",
        octets=octets(
            """
            REGISTER sip:[2001:db8::10] SIP/2.0
            To: sip:201@example.com
            From: sip:201@example.com;tag=81x2
            Via: SIP/2.0/UDP [2001:db8::9:1];rport;branch=z9hG4bKas3-111
            Call-ID: SSG9559905523997077@hlau_4100
            Max-Forwards: 70
            Contact: "Caller" <sip:201@[2001:db8::1]>
            CSeq: 98176 REGISTER
            Content-Length: 0
            """
        ),
        signed=True,
        status=200,
        says=(
            'Contact: "Caller" <sip:201@[2001:db8::1]>;expires=3600',
            "Via: SIP/2.0/UDP [2001:db8::9:1];branch=z9hG4bKas3-111;rport=",
        ),
        rows=("A22",),
    ),
    Torture(
        name="ipv6-bad",
        why="an IPv6 address without brackets",
        octets=octets(
            """
            REGISTER sip:2001:db8::10 SIP/2.0
            To: sip:201@example.com
            From: sip:201@example.com;tag=81x2
            Via: SIP/2.0/UDP [2001:db8::9:1];rport;branch=z9hG4bKas3-111
            Call-ID: SSG9559905523997077@hlau_4100
            Max-Forwards: 70
            Contact: "Caller" <sip:201@[2001:db8::1]>
            CSeq: 98176 REGISTER
            Content-Length: 0
            """
        ),
        signed=True,
        status=400,
        rows=("A22",),
    ),
    Torture(
        name="port-ambiguous",
        why="a port that became part of the address: valid, if not what was meant",
        octets=octets(
            """
            OPTIONS sip:[2001:db8::10:5070] SIP/2.0
            To: sip:user@example.com
            From: sip:user@example.com;tag=81x2
            Via: SIP/2.0/UDP [2001:db8::9:1];rport;branch=z9hG4bKas3-111
            Call-ID: SSG9559905523997077@hlau_4100
            CSeq: 98176 OPTIONS
            Content-Length: 0
            """
        ),
        status=200,
        rows=("A22",),
    ),
    Torture(
        name="port-unambiguous",
        why="a port behind the brackets",
        octets=octets(
            """
            OPTIONS sip:[2001:db8::10]:5070 SIP/2.0
            To: sip:user@example.com
            From: sip:user@example.com;tag=81x2
            Via: SIP/2.0/UDP [2001:db8::9:1]:5090;rport;branch=z9hG4bKas3-111
            Call-ID: SSG9559905523997077@hlau_4100
            CSeq: 98176 OPTIONS
            Content-Length: 0
            """
        ),
        status=200,
        rows=("A22",),
    ),
    Torture(
        name="via-received-param-with-delim",
        why="received in brackets",
        octets=octets(
            """
            OPTIONS sip:[2001:db8::10] SIP/2.0
            To: sip:user@example.com
            From: sip:user@example.com;tag=81x2
            Via: SIP/2.0/UDP [2001:db8::9:1];received=[2001:db8::9:255];rport;branch=z9hG4bKas3
            Call-ID: SSG95523997077@hlau_4100
            CSeq: 9176 OPTIONS
            Content-Length: 0
            """
        ),
        status=200,
        says=("received=127.0.0.1",),
        rows=("A22",),
    ),
    Torture(
        name="via-received-param-no-delim",
        why="received without brackets",
        octets=octets(
            """
            OPTIONS sip:[2001:db8::10] SIP/2.0
            To: sip:user@example.com
            From: sip:user@example.com;tag=81x2
            Via: SIP/2.0/UDP [2001:db8::9:1];received=2001:db8::9:255;rport;branch=z9hG4bKas3
            Call-ID: SSG95523997077@hlau_4100
            CSeq: 9176 OPTIONS
            Content-Length: 0
            """
        ),
        status=200,
        says=("received=127.0.0.1",),
        rows=("A22",),
    ),
    Torture(
        name="ipv6-in-sdp",
        why="a body with IPv6 addresses, of no concern to OPTIONS",
        octets=octets(
            """
            OPTIONS sip:user@[2001:db8::10] SIP/2.0
            To: sip:user@[2001:db8::10]
            From: sip:user@example.com;tag=81x2
            Via: SIP/2.0/UDP [2001:db8::9:1];rport;branch=z9hG4bKas3-111
            Call-ID: SSG9559905523997077@hlau_4100
            Contact: "Caller" <sip:caller@[2001:db8::9:1]>
            CSeq: 8912 OPTIONS
            Content-Type: application/sdp
            """,
            b"v=0\r\no=assistant 971731711378798081 0 IN IP6 2001:db8::20\r\n",
        ),
        status=200,
        rows=("A22",),
    ),
    Torture(
        name="mult-ip-in-header",
        why="Vias and Record-Routes of both kinds of address",
        octets=octets(
            """
            OPTIONS sip:user@host.example.com SIP/2.0
            Via: SIP/2.0/UDP [2001:db8::9:1]:6050;rport;branch=z9hG4bKas3-111
            Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKjhja8781hjuaij65144
            Via: SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bK451jj;received=192.0.2.200
            Record-Route: <sip:[2001:db8::9:1];lr>, <sip:192.0.2.1;lr>
            Call-ID: 997077@lau_4100
            Max-Forwards: 70
            CSeq: 89187 OPTIONS
            To: sip:user@example.net
            From: sip:user@example.com;tag=9817--94
            Content-Length: 0
            """
        ),
        status=200,
        says=(
            "Via: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKjhja8781hjuaij65144\r\n",
            "Via: SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bK451jj;received=192.0.2.200\r\n",
        ),
        rows=("A22",),
    ),
    Torture(
        name="ipv4-mapped-ipv6",
        why="IPv4 addresses written as IPv6",
        octets=octets(
            """
            REGISTER sip:[::ffff:192.0.2.10] SIP/2.0
            To: sip:201@example.com
            From: sip:201@example.com;tag=81x2
            Via: SIP/2.0/UDP [::ffff:192.0.2.10]:19823;rport;branch=z9hG4bKbh19
            Via: SIP/2.0/UDP [::ffff:192.0.2.2];branch=z9hG4bKas3-111
            Call-ID: SSG9559905523997077@hlau_4100
            Contact: "T. desk phone" <sip:201@[::ffff:192.0.2.2]>
            CSeq: 612 REGISTER
            Content-Length: 0
            """
        ),
        signed=True,
        status=200,
        says=('Contact: "T. desk phone" <sip:201@[::ffff:192.0.2.2]>;expires=3600',),
        rows=("A22",),
    ),
    Torture(
        name="ipv6-bug-abnf-3-colons",
        why="three colons, which the grammar of RFC 3261 let happen",
        octets=octets(
            """
            OPTIONS sip:user@[2001:db8:::192.0.2.1] SIP/2.0
            To: sip:user@[2001:db8:::192.0.2.1]
            From: sip:user@example.com;tag=81x2
            Via: SIP/2.0/UDP [2001:db8::9:1];rport;branch=z9hG4bKas3-111
            Call-ID: SSG9559905523997077@hlau_4100
            CSeq: 98176 OPTIONS
            Content-Length: 0
            """
        ),
        status=200,
        rows=("A22",),
    ),
]

ALL = [*VALID, *INVALID, *LAYERS_ABOVE, *IPV6]

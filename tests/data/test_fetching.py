"""Texts at addresses, from a real web server on this machine."""

import gc
import hashlib
import http.server
import threading

import pytest

from data.corpora import CorpusError, load_corpus
from data.fetching import is_address

TEXT = "one two\nthree four\n"
SENTENCES = ["one two", "three four"]


class Server(http.server.ThreadingHTTPServer):
    """Answers each path with the bytes in `pages`, 404 for others, and counts the requests."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages = {}
        self.missing_bytes = 0
        self.requests = []

    def address(self, path):
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requests.append(self.path)
        if self.path == "/closed":
            return
        if self.path == "/garbage":
            self.wfile.write(b"no HTTP at all\r\n\r\n")
            return
        if self.path not in self.server.pages:
            self.send_error(404)
            return
        content = self.server.pages[self.path]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content) + self.server.missing_bytes))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(keras_home):
    """A real web server on this machine."""
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("source", "answer"),
    [
        ("http://host/text", True),
        ("https://host/text", True),
        ("file:///text", True),
        ("toy", False),
        ("http.txt", False),
        ("folder/http://host", False),
    ],
)
def test_addresses_are_told_from_paths(source, answer):
    assert is_address(source) is answer


def test_an_address_is_fetched_once_and_then_kept(server, keras_home):
    server.pages["/text"] = TEXT.encode()
    first, second = (load_corpus(server.address("/text")) for _ in range(2))
    assert first == second
    assert first.sentences == SENTENCES
    assert first.source == server.address("/text")
    assert first.sha256 == hashlib.sha256(TEXT.encode()).hexdigest()
    assert server.requests == ["/text"]
    assert [path.read_text() for path in keras_home.rglob("*.txt")] == [TEXT]


def test_a_kept_text_is_read_without_its_server(server):
    server.pages["/text"] = TEXT.encode()
    load_corpus(server.address("/text"))
    del server.pages["/text"]
    assert load_corpus(server.address("/text")).sentences == SENTENCES


def test_an_address_is_left_alone_where_nothing_may_be_fetched(server):
    server.pages["/text"] = TEXT.encode()
    address = server.address("/text")
    with pytest.raises(CorpusError, match="/text: expected a text that was fetched before, found"):
        load_corpus(address, may_fetch=False)
    assert server.requests == []
    load_corpus(address)
    assert load_corpus(address, may_fetch=False).sentences == SENTENCES
    assert server.requests == ["/text"]


def test_each_address_has_a_copy_of_its_own(server):
    for path in ("/a/text.txt", "/b/text.txt", "/a/text.txt?page=2"):
        server.pages[path] = path.encode()
    for path in server.pages:
        assert load_corpus(server.address(path)).sentences == [path]


def test_a_damaged_copy_is_fetched_again(server, keras_home):
    server.pages["/text"] = TEXT.encode()
    load_corpus(server.address("/text"))
    (copy,) = keras_home.rglob("*.txt")
    copy.write_text("one tw")
    assert load_corpus(server.address("/text")).sentences == SENTENCES
    assert copy.read_text() == TEXT
    assert server.requests == ["/text", "/text"]


def test_a_text_that_arrived_in_part_is_not_kept(server):
    server.pages["/text"] = TEXT.encode()
    server.missing_bytes = 100
    for _ in range(2):
        with pytest.raises(CorpusError, match=r"/text: expected a text to fetch \(.*incomplete"):
            load_corpus(server.address("/text"))
    server.missing_bytes = 0
    assert load_corpus(server.address("/text")).sentences == SENTENCES


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize("path", ["/missing", "/closed", "/garbage"])
def test_a_server_that_gives_no_text_is_a_corpus_error(server, path):
    with pytest.raises(CorpusError, match=rf"127.*{path}: expected a text to fetch \(.") as error:
        load_corpus(server.address(path))
    assert "\n" not in str(error.value)
    del error
    gc.collect(1)  # urllib leaves its socket open when a server hangs up; not for another test


def test_no_server_at_all_is_a_corpus_error(server):
    server.shutdown()
    server.server_close()
    with pytest.raises(CorpusError, match=r"/text: expected a text to fetch \(.*refused"):
        load_corpus(server.address("/text"))


@pytest.mark.parametrize("content", [b"\0\1\2", b"", b"\xff\xfe"])
def test_a_page_without_text_is_named_by_its_address(server, content):
    server.pages["/text"] = content
    with pytest.raises(CorpusError, match=r"http://127\.0\.0\.1:\d+/text: expected .*text, found"):
        load_corpus(server.address("/text"))


def test_a_file_address_is_read(tmp_path, keras_home):
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    address = path.as_uri()
    corpus = load_corpus(address)
    assert (corpus.source, corpus.sentences) == (address, SENTENCES)


def test_a_missing_file_address_is_a_corpus_error(tmp_path, keras_home):
    with pytest.raises(CorpusError, match=r"missing: expected a text to fetch \(.*No such file"):
        load_corpus((tmp_path / "missing").as_uri())


def test_a_home_that_cannot_be_written_to_is_a_corpus_error(server, keras_home):
    keras_home.write_text("a file where the folder should be")
    server.pages["/text"] = TEXT.encode()
    with pytest.raises(CorpusError, match="/text: expected "):
        load_corpus(server.address("/text"))

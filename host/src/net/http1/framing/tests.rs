//! Requests in one piece and in many.

use super::*;

const POST: &str = "POST / HTTP/1.1\r\nHost: h\r\n";
const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";

fn limits() -> Limits {
    Limits { header_bytes_max: 500, body_bytes_max: 100, ..Limits::default() }
}

fn fill(reader: &mut Reader, mut bytes: &[u8]) {
    while !bytes.is_empty() {
        let read = reader.fill(&mut Spare::default(), |room| io::Read::read(&mut bytes, room));
        assert!(read.unwrap() > 0);
    }
}

/// The bodies of all requests in these bytes, and the refusal after them.
fn read(bytes: &[u8], piece_bytes: usize) -> (Vec<String>, Option<Refusal>) {
    let (mut reader, mut bodies) = (Reader::new(), Vec::new());
    for piece in bytes.chunks(piece_bytes) {
        fill(&mut reader, piece);
        loop {
            match reader.next(&limits(), &mut Spare::default()) {
                Ok(Step::Wanting) => break,
                Ok(Step::Continue) => {}
                Ok(Step::Request(_, body)) => bodies.push(String::from_utf8(body).unwrap()),
                Err(refusal) => return (bodies, Some(refusal)),
            }
        }
    }
    (bodies, None)
}

/// The same in one piece, byte by byte and in between.
fn read_in_pieces(bytes: &str) -> (Vec<String>, Option<Refusal>) {
    let whole = read(bytes.as_bytes(), usize::MAX);
    for piece_bytes in [1, 2, 3, 7, 64] {
        assert_eq!(read(bytes.as_bytes(), piece_bytes), whole, "{piece_bytes}: {bytes:?}");
    }
    whole
}

fn refusal(bytes: &str) -> (u16, String) {
    let (bodies, refusal) = read_in_pieces(bytes);
    assert!(bodies.is_empty(), "{bytes:?}: {bodies:?}");
    let refusal = refusal.unwrap_or_else(|| panic!("{bytes:?} is not refused"));
    (refusal.status, refusal.why)
}

#[test]
fn requests_follow_each_other() {
    let requests = format!(
        "{POST}Content-Length: 3\r\n\r\none{CHUNKED}2;a=b\r\nth\r\n3 ;c\r\nree\r\n0\r\nA: b\r\n\
         C: d\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n\r\n{POST}Content-Length: 0\r\n\r\n\
         {CHUNKED}0\r\n\r\n{POST}Content-Length: 4\r\n\r\nlast"
    );
    let (bodies, refusal) = read_in_pieces(&requests);
    assert_eq!(bodies, ["one", "three", "", "", "", "last"]);
    assert_eq!(refusal, None);
}

#[test]
fn a_body_is_as_large_as_its_limit() {
    let x = |count: usize| "x".repeat(count);
    let length = |count: usize| format!("{POST}Content-Length: {count}\r\n\r\n{}", x(count));
    let chunks = |one: usize, other: usize| {
        format!("{CHUNKED}{one:x}\r\n{}\r\n{other:x}\r\n{}\r\n0\r\n\r\n", x(one), x(other))
    };
    for fits in [length(100), chunks(50, 50), chunks(99, 1)] {
        assert_eq!(read_in_pieces(&fits), (vec![x(100)], None));
    }
    let huge = format!("{POST}Content-Length: {}\r\n\r\n", u64::MAX);
    let huge_chunk = format!("{CHUNKED}1\r\nx\r\nfffffffffffffff\r\n");
    for too_large in [length(101), chunks(50, 51), chunks(100, 1), huge, huge_chunk] {
        let (status, why) = refusal(&too_large);
        assert!(status == 413 && why.contains("100 bytes"), "{status} {why}");
    }
}

#[test]
fn a_post_says_where_its_body_ends() {
    let (status, why) = refusal(&format!("{POST}\r\n<methodCall/>"));
    assert!(status == 411 && why.starts_with("Length required: "), "{status} {why}");
    assert_eq!(refusal("POST / HTTP/1.0\r\n\r\n").0, 411);
    for method in ["GET", "HEAD", "OPTIONS", "PUT", "post"] {
        assert_eq!(
            read_in_pieces(&format!("{method} / HTTP/1.1\r\nHost: h\r\n\r\n")).0,
            [""],
            "{method}"
        );
    }
}

#[test]
fn heads_lines_and_trailers_have_limits() {
    let head = |count: usize| {
        let fixed = format!("{POST}Content-Length: 0\r\nA: \r\n\r\n").len();
        format!("{POST}Content-Length: 0\r\nA: {}\r\n\r\n", "x".repeat(count - fixed))
    };
    assert_eq!(read_in_pieces(&head(500)).0, [""]);
    assert_eq!(refusal(&head(501)).0, 431);
    assert_eq!(
        refusal(&format!("{POST}A: {}\0\r\n\r\n", "x".repeat(600))).0,
        431,
        "the first reason counts"
    );
    let size_line = |count: usize| {
        format!("{CHUNKED}1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(count - "1;\r\n".len()))
    };
    assert_eq!(read_in_pieces(&size_line(CHUNK_LINE_BYTES_MAX)).0, ["x"]);
    assert_eq!(refusal(&size_line(CHUNK_LINE_BYTES_MAX + 1)).0, 400);
    let trailer = |count: usize, lines: usize| {
        let field = format!("A: {}\r\n", "x".repeat((count - 2) / lines - "A: \r\n".len()));
        format!("{CHUNKED}0\r\n{}\r\n", field.repeat(lines))
    };
    assert_eq!(read_in_pieces(&trailer(TRAILER_BYTES_MAX, 1)).0, [""]);
    assert_eq!(read_in_pieces(&trailer(TRAILER_BYTES_MAX, 2)).0, [""]);
    assert_eq!(refusal(&trailer(TRAILER_BYTES_MAX + 1, 1)).0, 431);
    assert_eq!(refusal(&trailer(TRAILER_BYTES_MAX + 2, 2)).0, 431);
}

#[test]
fn chunks_that_could_be_read_in_two_ways_are_refused() {
    for chunks in [
        "\r\n",
        ";a\r\n",
        "x\r\n",
        "-1\r\n",
        "+1\r\nx\r\n",
        " 1\r\nx\r\n",
        "0x1\r\nx\r\n",
        "1\nx\r\n",
        "1\rx\r\n",
        "1\r\nxy\r\n",
        "1\r\nx\n0\r\n\r\n",
        "1\r\nx\ry0\r\n\r\n",
        "1 2\r\nx\r\n",
        "10000000000000001\r\nx\r\n",
        "0\r\nno field\r\n\r\n",
        "0\r\nA: b\n\r\n",
        "0\r\n\n",
        "0\r\n: b\r\n\r\n",
        "0\r\n folded\r\n\r\n",
        "0\r\nA: \0\r\n\r\n",
    ] {
        assert_eq!(refusal(&format!("{CHUNKED}{chunks}")).0, 400, "{chunks:?}");
    }
}

#[test]
fn a_client_that_waits_is_told_to_go_on_once() {
    let steps = |pieces: &[&str]| {
        let mut reader = Reader::new();
        let mut steps = String::new();
        for piece in pieces {
            fill(&mut reader, piece.as_bytes());
            loop {
                match reader.next(&limits(), &mut Spare::default()) {
                    Ok(Step::Wanting) => break,
                    Ok(Step::Continue) => steps.push_str("continue "),
                    Ok(Step::Request(_, body)) => {
                        steps.push_str(&format!("{:?} ", String::from_utf8(body)))
                    }
                    Err(refusal) => {
                        steps.push_str(&refusal.status.to_string());
                        break;
                    }
                }
            }
        }
        steps
    };
    let expects = format!("{POST}Expect: 100-continue\r\n");
    let (sized, chunked) = (
        format!("{expects}Content-Length: 2\r\n\r\n"),
        CHUNKED.replace("Host", "Expect: 100-continue\r\nHost"),
    );
    assert_eq!(steps(&[&sized[..40], &sized[40..], "a", "b"]), r#"continue Ok("ab") "#);
    assert_eq!(steps(&[&sized, "ab", &sized, "cd"]), r#"continue Ok("ab") continue Ok("cd") "#);
    assert_eq!(steps(&[&format!("{sized}a"), "b"]), r#"Ok("ab") "#);
    assert_eq!(steps(&[&chunked, "1\r\n", "a\r\n0\r\n\r\n"]), r#"continue Ok("a") "#);
    assert_eq!(
        steps(&[&format!("{expects}Content-Length: 0\r\n\r\n")]),
        r#"Ok("") "#,
        "nothing to wait for"
    );
    assert_eq!(steps(&[&format!("{expects}Content-Length: 101\r\n\r\n")]), "413");
}

#[test]
fn memory_is_for_what_has_come_and_is_given_back() {
    const MIB: usize = 1 << 20;
    let limits = Limits { body_bytes_max: 4 * MIB, ..Limits::default() };
    let mut reader = Reader::new();
    assert!(reader.fill(&mut Spare::default(), |_| Err(io::ErrorKind::WouldBlock.into())).is_err());
    assert!(!reader.has_begun() && reader.memory_bytes() == 0);
    for head in [
        format!("{POST}Content-Length: {}\r\n\r\n", 4 * MIB),
        format!("{CHUNKED}{:x}\r\n", 4 * MIB),
    ] {
        fill(&mut reader, head.as_bytes());
        assert!(reader.has_begun());
        for come in 0..1024 {
            assert!(matches!(reader.next(&limits, &mut Spare::default()), Ok(Step::Wanting)));
            assert!(
                reader.memory_bytes() <= (64 << 10) + 2 * (come << 12),
                "{}",
                reader.memory_bytes()
            );
            assert!(reader.memory_bytes() <= (64 << 10) + 4 * MIB);
            fill(&mut reader, &[b'x'; 4096]);
        }
        if head.contains("chunked") {
            fill(&mut reader, b"\r\n0\r\n\r\n");
        }
        assert!(matches!(
            reader.next(&limits, &mut Spare::default()),
            Ok(Step::Request(_, body)) if body.len() == 4 * MIB
        ));
        assert!(!reader.has_begun() && reader.memory_bytes() == 0);
    }
}

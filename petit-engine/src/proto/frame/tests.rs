//! Frames, whole and cut, good and bad.

use proptest::prelude::*;

use super::*;

fn frame(stream: u32, kind: FrameKind, payload: &[u8]) -> Vec<u8> {
    let mut out = Header { stream, kind, length: payload.len() }.encode().to_vec();
    out.extend_from_slice(payload);
    out
}

/// All pieces as owned values, with the pieces of one DATA frame joined.
fn decode(portions: &[&[u8]]) -> Result<Vec<(u32, FrameKind, Vec<u8>)>, FrameError> {
    let mut decoder = Decoder::default();
    let mut out: Vec<(u32, FrameKind, Vec<u8>)> = Vec::new();
    for portion in portions {
        let mut input = *portion;
        while let Some(piece) = decoder.next(&mut input)? {
            match piece {
                Piece::DataBegins { stream, .. } => out.push((stream, FrameKind::Data, Vec::new())),
                Piece::Data { bytes, .. } => out.last_mut().unwrap().2.extend_from_slice(bytes),
                Piece::Frame { header, payload } => {
                    out.push((header.stream, header.kind, payload.to_vec()));
                }
            }
        }
        assert!(input.is_empty(), "the decoder takes all it is given");
    }
    Ok(out)
}

#[test]
fn frames_have_the_documented_bytes() {
    assert_eq!(frame(7, FrameKind::Data, b"abc"), [0, 0, 0, 7, 2, 0, 0, 3, b'a', b'b', b'c']);
    let open = Open {
        service: 3,
        purpose: Purpose::Probe,
        window: 0x0001_0000,
        visitor: "192.0.2.7:4660".parse().unwrap(),
        id: RequestId(*b"0123456789abcdef"),
    };
    let mut golden = vec![0, 3, 1, 0, 1, 0, 0, 4];
    golden.extend([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 7, 0x12, 0x34]);
    golden.extend(*b"0123456789abcdef");
    assert_eq!(open.encode().to_vec(), golden);
    let reset = Reset { code: ResetCode::ServiceRefused, delivered: 258 };
    assert_eq!(reset.encode(), [0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 1, 2]);
    let away = GoAway { last_stream: 9, retry_after_ms: 1000 };
    assert_eq!(away.encode(), [0, 0, 0, 9, 0, 0, 3, 232]);
}

#[test]
fn grants_above_24_bits_survive() {
    // The spike cut them to the width of the length field; the stream then hung for ever.
    assert_eq!(decode_window(&20_000_000_u32.to_be_bytes()), Ok(20_000_000));
    assert!(decode_window(&[0; 4]).is_err());
    assert!(decode_window(&(limits::MIN_GRANT_BYTES - 1).to_be_bytes()).is_err());
}

#[test]
fn lengths_outside_a_kind_are_refused_from_the_header() {
    for (kind, length) in [(2, 0), (2, 65_537), (5, 3), (5, 5), (6, 0), (9, 0), (9, 16_385), (1, 41), (4, 8)]
    {
        let [_, x, y, z] = u32::to_be_bytes(length);
        let stream = u8::from(kind < 6);
        let error = Header::decode([0, 0, 0, stream, kind, x, y, z]).unwrap_err();
        assert!(matches!(error, FrameError::Length { .. }), "{kind} {length}: {error}");
    }
    for kind in [0, 10, 255] {
        assert_eq!(Header::decode([0, 0, 0, 1, kind, 0, 0, 1]), Err(FrameError::UnknownKind { kind }));
    }
}

#[test]
fn stream_zero_is_for_the_session_only() {
    assert!(matches!(Header::decode([0, 0, 0, 0, 2, 0, 0, 1]), Err(FrameError::WrongStream { .. })));
    assert!(matches!(Header::decode([0, 0, 0, 1, 6, 0, 0, 8]), Err(FrameError::WrongStream { .. })));
}

#[test]
fn an_open_with_a_hostile_window_or_address_is_refused() {
    let good = Open::default().encode();
    assert_eq!(Open::decode(&good), Ok(Open::default()));
    let mut window = good;
    window[3] = 0xff;
    // Fewer bytes than any grant brings: its stream could be kept busy for ever.
    let mut small = good;
    small[3..7].copy_from_slice(&(limits::MIN_WINDOW_BYTES - 1).to_be_bytes());
    let mut least = good;
    least[3..7].copy_from_slice(&limits::MIN_WINDOW_BYTES.to_be_bytes());
    assert!(Open::decode(&least).is_ok());
    let mut family = good;
    family[7] = 5;
    let mut unmapped = good;
    unmapped[18] = 0;
    let mut purpose = good;
    purpose[2] = 2;
    for bad in [window, small, family, unmapped, purpose] {
        assert_eq!(Open::decode(&bad), Err(FrameError::Payload { kind: FrameKind::Open }));
    }
    assert!(Open::decode(&good[..41]).is_err());
}

fn any_frame() -> impl Strategy<Value = (u32, FrameKind, Vec<u8>)> {
    let data = (1..u32::MAX, proptest::collection::vec(any::<u8>(), 1..3000))
        .prop_map(|(stream, payload)| (stream, FrameKind::Data, payload));
    let fin = (1..u32::MAX, any::<u64>()).prop_map(|(s, n)| (s, FrameKind::Fin, n.to_be_bytes().to_vec()));
    let ping = any::<u64>().prop_map(|n| (0, FrameKind::Ping, n.to_be_bytes().to_vec()));
    let control =
        proptest::collection::vec(any::<u8>(), 2..3000).prop_map(|payload| (0, FrameKind::Control, payload));
    let open =
        (1..u32::MAX, any::<u16>(), any::<[u8; 16]>().prop_map(RequestId)).prop_map(|(s, service, id)| {
            (s, FrameKind::Open, Open { service, id, ..Open::default() }.encode().to_vec())
        });
    prop_oneof![data, fin, ping, control, open]
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_however_it_is_cut(
        frames in proptest::collection::vec(any_frame(), 1..8),
        cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let bytes: Vec<u8> = frames.iter().flat_map(|(s, k, p)| frame(*s, *k, p)).collect();
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let portions: Vec<&[u8]> = at.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
        prop_assert_eq!(decode(&portions).unwrap(), frames);
    }

    #[test]
    fn damaged_input_is_an_error_or_other_frames_but_never_a_panic(
        frames in proptest::collection::vec(any_frame(), 1..5),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut bytes: Vec<u8> = frames.iter().flat_map(|(s, k, p)| frame(*s, *k, p)).collect();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.truncate(cut.index(bytes.len()) + 1);
        if let Ok(found) = decode(&[&bytes]) {
            for (_, kind, payload) in found {
                match kind {
                    FrameKind::Open => drop(Open::decode(&payload)),
                    FrameKind::Rst => drop(Reset::decode(&payload)),
                    FrameKind::GoAway => drop(GoAway::decode(&payload)),
                    FrameKind::Window => drop(decode_window(&payload)),
                    FrameKind::Fin | FrameKind::Ping | FrameKind::Pong => drop(decode_u64(kind, &payload)),
                    FrameKind::Data | FrameKind::Control => {}
                }
            }
        }
    }

    #[test]
    fn any_bytes_are_met_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..4000)) {
        let _ = decode(&[&bytes]);
    }
}

//! Any bytes, in any pieces.

use std::net::Shutdown;

use proptest::prelude::*;

use super::stage::Stage;

/// Pieces of what clients might send: requests, halves of them, and noise.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let text = prop_oneof![
        Just("{\"v\":1,\"command\":\"status\"}\n"),
        Just("{\"v\":1,\"command\":\"scale\",\"workers\":3,\"id\":\"x\"}\n"),
        Just("{\"v\":1,\"command\":\"restart\",\"slot\":99999}\n"),
        Just("{\"v\":1,"),
        Just("\"command\":\"stop\"}"),
        Just("\n"),
        Just("\r\n"),
        Just("[[[[{"),
        Just("\"\\ud800\""),
        Just("{\"v\":1e999}\n"),
    ];
    prop_oneof![
        4 => text.prop_map(|text| text.as_bytes().to_vec()),
        2 => prop::collection::vec(any::<u8>(), 0..300),
        1 => (any::<u8>(), 0..70_000_usize).prop_map(|(byte, count)| vec![byte; count]),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// It does not panic, comes to rest, says nothing but answers, and no more of them than lines came.
    #[test]
    fn any_bytes_in_any_pieces_are_answered_line_by_line(
        pieces in prop::collection::vec((piece(), any::<bool>(), 0.0..4.0_f64), 0..40),
        leaves in any::<bool>(),
    ) {
        let mut stage = Stage::new();
        let mut client = stage.client();
        let (mut lines, mut answers) = (1, 0); // what stands after the last line end may be a line too
        for (piece, rests, seconds) in pieces {
            let sent = client.send(&piece);
            lines += piece[..sent].iter().filter(|byte| **byte == b'\n').count();
            if rests {
                answers += stage.converse(&mut client).lines.len();
                stage.pass(seconds);
            }
        }
        if leaves {
            drop(client);
            stage.settle();
        } else {
            let _ = client.0.shutdown(Shutdown::Write);
            let heard = stage.converse(&mut client);
            answers += heard.lines.len();
            prop_assert!(heard.ended);
            prop_assert!(answers <= lines, "{answers} answers to {lines} lines");
        }
        prop_assert_eq!(stage.control.next_deadline(), None);
        let mut next = stage.client();
        next.ask("status");
        prop_assert_eq!(stage.settle().len(), 1);
    }
}

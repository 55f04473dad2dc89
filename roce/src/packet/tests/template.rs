use super::*;
use smolsmc_wire::EmitError;

/// The headers with what a template does not take from them.
fn with(headers: &FrameHeaders, fields: &PacketFields) -> FrameHeaders {
    let mut headers = *headers;
    headers.bth.opcode = fields.opcode;
    headers.bth.psn = fields.psn;
    headers.bth.ack_request = fields.ack_request;
    headers.bth.solicited = fields.solicited;
    headers.ext = fields.ext;
    if let IpPath::V4 { identification, .. } = &mut headers.ip {
        *identification = fields.identification;
    }
    headers
}

prop_compose! {
    fn any_fields()(from in any_headers(), identification: u16) -> PacketFields {
        let Bth { opcode, psn, ack_request, solicited, .. } = from.bth;
        PacketFields { opcode, psn, ack_request, solicited, identification, ext: from.ext }
    }
}

proptest! {
    /// Octet for octet what `FrameHeaders` writes, whatever the buffer held.
    #[test]
    fn template_writes_what_headers_write(
        headers in any_headers(),
        fields in any_fields(),
        payload in proptest::collection::vec(any::<u8>(), 0..300),
        dirt: u8,
    ) {
        let template = FrameTemplate::new(&headers);
        let expected = sealed(&with(&headers, &fields), &payload);
        prop_assert_eq!(template.frame_len(&fields.ext, payload.len()), expected.len());
        let mut out = vec![dirt; expected.len() + 9];
        let mut open = template.open(&fields, payload.len(), &mut out).unwrap();
        open.payload_mut().copy_from_slice(&payload);
        prop_assert_eq!(open.seal(), expected.len());
        prop_assert_eq!(&out[..expected.len()], &expected[..]);
        prop_assert_eq!(&out[expected.len()..], &[dirt; 9], "nothing beyond the frame");
    }

    #[test]
    fn template_refuses_short_buffers_and_long_payloads(headers in any_headers(), fields in any_fields()) {
        let template = FrameTemplate::new(&headers);
        let needed = template.frame_len(&fields.ext, 5);
        for short in 0..needed {
            let error = template.open(&fields, 5, &mut vec![0; short]).map(drop);
            let what = "RoCE frame";
            prop_assert_eq!(error, Err(EmitError::BufferTooSmall { what, needed, got: short }));
        }
        let mut out = vec![0; 1 << 17];
        for huge in [65_536, 100_000] {
            let error = template.open(&fields, huge, &mut out).map(drop);
            let large = matches!(error, Err(EmitError::TooLarge { .. }));
            prop_assert!(large, "{:?}", error);
        }
    }
}

use smolsmc_decode::{Capture, Dissector, Frame, FrameReport, Icrc, Kind, Summary};

/// Of every how many frames the layers are written out.
const LAYERS_OF_EVERY: u64 = 3;

/// A capture file.
///
/// Asserts, beside what is asserted of every report: frames are numbered from
/// 1, and none is longer than it was on the wire. An error ends it, as it
/// ends every reader of the file.
pub fn decode(data: &[u8]) {
    let mut told = Told::default();
    let mut capture = match Capture::new(data) {
        Ok(capture) => capture,
        Err(error) => return assert!(is_one_line(&error.to_string())),
    };
    loop {
        match capture.next_frame() {
            Ok(Some(frame)) => told.frame(&frame),
            Ok(None) => break,
            Err(error) => {
                assert!(is_one_line(&error.to_string()));
                break;
            }
        };
    }
    told.finish();
}

/// A dissector, and what its summary must add up to.
#[derive(Default)]
pub(super) struct Told {
    dissector: Dissector,
    frames: u64,
    violations: u64,
    unknown: u64,
    cut: u64,
}

impl Told {
    /// Reports the frame, and asserts that its report is sound.
    pub(super) fn frame(&mut self, frame: &Frame<'_>) -> FrameReport {
        assert_eq!(frame.number, self.frames + 1);
        assert!(frame.octets.len() <= frame.original_len);
        let report = self.dissector.frame(frame);
        is_sound(&report, frame);
        self.count(&report);
        report
    }

    /// Counts the frame without a look at its report; its violations.
    pub(super) fn unseen(&mut self, frame: &Frame<'_>) -> Vec<String> {
        let report = self.dissector.frame(frame);
        self.count(&report);
        report.violations
    }

    fn count(&mut self, report: &FrameReport) {
        self.frames += 1;
        self.violations += u64::from(report.kind() == Kind::Violation);
        self.unknown += u64::from(report.kind() == Kind::Unknown);
        self.cut += u64::from(report.cut);
    }

    /// Asserts that the summary is sound and counts what was reported.
    pub(super) fn finish(&self) {
        let Summary { connections, groups, frames, violations, unknown, cut } = self.dissector.summary();
        assert_eq!(
            (frames, violations, unknown, cut),
            (self.frames, self.violations, self.unknown, self.cut)
        );
        let summary = self.dissector.summary();
        let objects = summary.to_json();
        assert_eq!(objects.len(), connections.len() + groups.len() + 1);
        for object in &objects {
            assert!(object.is_object() && is_one_line(&object.to_string()));
        }
        for (connection, id) in connections.iter().zip(1..) {
            assert_eq!(connection.id, id);
            assert!(connection.group.is_none_or(|group| group as usize <= groups.len()));
            assert_eq!(connection.group.is_some(), connection.link.is_some());
        }
        let joined: u32 = groups.iter().map(|group| group.connections).sum();
        assert!(joined as u64 <= self.frames, "each takes a Confirm");
        let text = summary.to_string();
        assert!(text.lines().all(is_one_line), "{text:?}");
        assert!(text.lines().count() > connections.len() + groups.len());
    }
}

/// Peers must not be able to forge lines or to steer a terminal.
fn is_one_line(text: &str) -> bool {
    !text.contains(char::is_control)
}

fn is_sound(report: &FrameReport, frame: &Frame<'_>) {
    assert_eq!((report.number, report.len), (frame.number, frame.original_len));
    assert_eq!(report.cut, frame.octets.len() < frame.original_len);
    let violated = !report.violations.is_empty();
    assert_eq!(report.kind() == Kind::Violation, violated);
    assert_ne!(report.protocol, Kind::Violation, "that is no protocol");
    assert!(report.icrc != Some(Icrc::Unchecked) || report.cut);
    assert!(report.icrc != Some(Icrc::Bad) || violated);

    let line = report.to_line();
    assert!(is_one_line(&line), "{line:?}");
    assert!(report.violations.iter().all(|violation| line.contains(violation)));
    // What is written of the layers hangs on this frame alone, and is dear.
    if !frame.number.is_multiple_of(LAYERS_OF_EVERY) {
        return;
    }
    let json = report.to_json();
    assert_eq!(json["kind"], report.kind().name());
    assert_eq!(json["frame"], report.number);
    assert!(is_one_line(&json.to_string()), "one object a line");
    let verbose = report.to_verbose();
    assert!(verbose.lines().all(|line| line.starts_with("      ") && is_one_line(line)), "{verbose:?}");
    assert_eq!(verbose.is_empty(), report.layers.is_empty());
}

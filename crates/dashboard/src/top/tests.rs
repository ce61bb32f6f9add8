use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::chain::tests::panels as chain_panels;
use crate::weights::tests::panel as weights_panel;

#[test]
fn key_presses_map_to_commands() {
    let key = |code| action(KeyEvent::new(code, KeyModifiers::NONE));
    for (code, expected) in [
        (KeyCode::Char('q'), Some(Action::Quit)),
        (KeyCode::Esc, Some(Action::Quit)),
        (KeyCode::Tab, Some(Action::NextTable)),
        (KeyCode::BackTab, Some(Action::PreviousTable)),
        (KeyCode::Down, Some(Action::Scroll(1))),
        (KeyCode::PageUp, Some(Action::Scroll(-10))),
        (KeyCode::End, Some(Action::Last)),
        (KeyCode::Char('c'), None),
    ] {
        assert_eq!(key(code), expected, "{code:?}");
    }
    assert_eq!(
        action(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL)),
        Some(Action::Quit)
    );
}

#[tokio::test]
async fn chain_and_weights_panels_adapt_to_terminal_width() {
    let panels: Vec<_> = chain_panels().into_iter().chain([weights_panel().await]).collect();
    let screens = [80, 100, 120, 200].map(|width| {
        let mut terminal = Terminal::new(TestBackend::new(width, 24)).unwrap();
        terminal
            .draw(|frame| {
                render(frame, &panels, &mut Position::default(), &timestamp(1_780_000_000));
            })
            .unwrap();
        format!("{width} columns\n{}", terminal.backend())
    });
    insta::assert_snapshot!(screens.join("\n"));
}

//! Symbols of the subnets' alpha.

use frame_support::ensure;
use frame_support::pallet_prelude::DispatchResult;

use super::super::{Config, Error, Event, Pallet, TokenSymbol};
use crate::types::NetUid;

/// Default symbol, for subnets beyond the list of letters.
const DEFAULT_SYMBOL: char = '\u{1d70f}';
/// Letters of the subnets from netuid 1 on, one alphabet per row. Subnet 19 has a Latin t, because
/// root uses tau.
const LETTERS: [&str; 20] = [
    "αβγδεζηθικλμνξοπρσtυφχψω",
    "אבגדהוזחטיךכלםמןנסעףפץצקרשת",
    "ابتثجحخدذرزسشصضطظعغفقكلمنهويى",
    "ᚠᚢᚦᚨᚱᚳЫᛉᛒ",
    "\u{1680}ᚁᚂᚃᚄᚅ᚛",
    "აბგდევ",
    "ԱԲԳԴԵԶ՞",
    "ЀЁЂЃЄЅъ",
    "ⲀⲁⲂⲃⲄⲅ",
    "𑀀𑀁𑀂𑀃𑀅",
    "නඳපඵබභ",
    "ⰀⰁⰂⰃⰄⰅⰆⰇⰈⰉⰊⰋⰌⰍⰎⰏⰐⰑⰒⰓⰔⰕⰖⰗⰘⰙⰚⰛⰜⰝⰞⰟⰠ",
    "กขฃคฅฆงจฉชซฌญฎฏฐฑฒณดตถทธนบปผฝพฟภมยรลวศษสหฬอฮ",
    "ㄱㄴㄷㄹㅁㅂㅅㅇㅈㅊㅋㅌㅍㅎ",
    "ㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ",
    "አኡኢኣኤእኦኧወዉዊዋዌውዎኰ኱ኲኳኴኵ኶ጐ጑ጒመጔጕ጖",
    "अआइईउऊऋएऐओऔकखगघङचछजझञटठडढणतथदधनपफबभमयरलवशषसह",
    "アイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワヲン",
    "ⴰⴱⴲⴳⴴⴵⴶⴷⴸⴹⴺⴻⴼⴽⴾⴿⵀⵁⵂⵃⵄⵅⵆⵇⵈⵉⵊⵋⵌⵍⵎⵏⵐⵑⵒⵓ",
    "අආඉඊඋඌඍඎඏඐඑඒඓඔඕඖකඛගඝඞචඡජඣඤටඥඦඩඨඪණඬතථදධ",
];

/// Returns the letters of all subnets, in the order of their netuids.
fn letters() -> impl Iterator<Item = char> {
    LETTERS.iter().flat_map(|alphabet| alphabet.chars())
}

/// Returns the symbol of a subnet's alpha: τ for root, then the letters; a default for all later
/// netuids.
pub(super) fn symbol(netuid: NetUid) -> String {
    let letter = match usize::from(netuid.0).checked_sub(1) {
        None => Some('τ'),
        Some(position) => letters().nth(position),
    };
    letter.unwrap_or(DEFAULT_SYMBOL).to_string()
}

impl<T: Config> Pallet<T> {
    /// Returns the symbol of a new subnet: its own, or the first that no subnet uses if it is in
    /// use.
    pub(super) fn free_symbol(netuid: NetUid) -> Vec<u8> {
        let used_symbols: Vec<Vec<u8>> = TokenSymbol::<T>::iter_values().collect();
        let unused_symbol = std::iter::once(symbol(netuid))
            .chain(letters().map(String::from))
            .find(|symbol| !used_symbols.iter().any(|used| used == symbol.as_bytes()));
        unused_symbol.unwrap_or_else(|| DEFAULT_SYMBOL.to_string()).into_bytes()
    }

    /// Changes the symbol of a subnet.
    ///
    /// # Errors
    /// `SymbolDoesNotExist` unless it is the letter of a subnet other than root,
    /// `SymbolAlreadyInUse`.
    pub(crate) fn do_update_symbol(netuid: NetUid, symbol: Vec<u8>) -> DispatchResult {
        let exists = letters().any(|letter| letter.to_string().as_bytes() == symbol);
        ensure!(exists, Error::<T>::SymbolDoesNotExist);
        ensure!(
            !TokenSymbol::<T>::iter_values().any(|used| used == symbol),
            Error::<T>::SymbolAlreadyInUse
        );
        TokenSymbol::<T>::insert(netuid, &symbol);
        Self::deposit_event(Event::SymbolUpdated { netuid, symbol });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::runtime::Runtime;
    use crate::subtensor::{Call, NetworkRateLimit};
    use crate::testing::{
        BABELBIT, account, at_first_block, attempt, key, last_event, outcome, send_as_root,
    };

    #[test]
    fn subnet_symbol_is_the_letter_of_its_netuid() {
        for (netuid, letter) in [
            (0, "τ"),
            (1, "α"),
            (2, "β"),
            (16, "π"),
            (17, "ρ"),
            (18, "σ"),
            (19, "t"),
            (20, "υ"),
            (24, "ω"),
            (25, "א"),
            (51, "ת"),
            (52, "ا"),
            (59, "د"),
            (64, "ش"),
            (80, "ى"),
            (81, "ᚠ"),
            (90, "\u{1680}"),
            (102, "ვ"),
            (123, "𑀀"),
            (211, "ㄱ"),
            (319, "ア"),
            (438, "ධ"),
            (439, "\u{1d70f}"),
            (u16::MAX, "\u{1d70f}"),
        ] {
            assert_eq!(symbol(NetUid(netuid)), letter, "{netuid}");
        }
        assert_eq!(
            letters().collect::<BTreeSet<_>>().len(),
            438,
            "no letter stands for two subnets"
        );
    }

    #[test]
    fn owner_and_root_choose_an_unused_symbol() {
        at_first_block(|| {
            let update = |netuid, symbol: &str| Call::<Runtime>::update_symbol {
                netuid,
                symbol: symbol.into(),
            };
            let alice = account("Alice");
            assert_eq!(attempt(&account("Bob"), update(BABELBIT, "ア")), "BadOrigin");
            assert_eq!(attempt(&alice, update(NetUid(77), "ア")), "BadOrigin");
            assert_eq!(outcome(send_as_root(update(NetUid(77), "ア"))), "SubnetNotExists");
            for unknown in ["", "τ", "アイ", "!"] {
                assert_eq!(
                    attempt(&alice, update(BABELBIT, unknown)),
                    "SymbolDoesNotExist",
                    "{unknown}"
                );
            }
            assert_eq!(attempt(&alice, update(BABELBIT, "α")), "SymbolAlreadyInUse");
            assert_eq!(attempt(&alice, update(BABELBIT, "ア")), "ok");
            assert_eq!(
                last_event(),
                Event::SymbolUpdated { netuid: BABELBIT, symbol: "ア".into() }
            );
            assert_eq!(outcome(send_as_root(update(BABELBIT, "ذ"))), "ok");
            // The letter of subnet 60 is now in use: a new subnet has the first free one.
            NetworkRateLimit::<Runtime>::put(0);
            assert_eq!(attempt(&alice, Call::register_network { hotkey: key(1) }), "ok");
            assert_eq!(TokenSymbol::<Runtime>::get(NetUid(60)), "د".as_bytes());
        });
    }
}

//! The forms that a number asks of the words beside it, by each language's own rules (Unicode's CLDR), as
//! `ui/src/words/grammar.ts` has them for the window. What is said is not here.

use icu_plurals::{PluralCategory, PluralRules, PluralRulesOptions};

use super::Language;

/// A text in the forms of one language, with `#` where the number stands. Those that the language has not are empty, and
/// `other` stands for them.
pub(super) struct Forms {
    pub(super) zero: &'static str,
    pub(super) one: &'static str,
    pub(super) two: &'static str,
    pub(super) few: &'static str,
    pub(super) many: &'static str,
    pub(super) other: &'static str,
}

impl Forms {
    pub(super) const NONE: Self = Self {
        zero: "",
        one: "",
        two: "",
        few: "",
        many: "",
        other: "",
    };

    /// The one for so many.
    pub(super) fn of(&self, language: Language, count: u64) -> String {
        let form = match category(language, count) {
            PluralCategory::Zero => self.zero,
            PluralCategory::One => self.one,
            PluralCategory::Two => self.two,
            PluralCategory::Few => self.few,
            PluralCategory::Many => self.many,
            PluralCategory::Other => self.other,
        };
        let form = if form.is_empty() { self.other } else { form };
        form.replace('#', &count.to_string())
    }
}

fn category(language: Language, count: u64) -> PluralCategory {
    let locale = language.locale();
    // The rules of every language are compiled in; only a data provider of one's own can lack some.
    PluralRules::try_new(locale.into(), PluralRulesOptions::default())
        .map_or(PluralCategory::Other, |rules| rules.category_for(count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_the_form_of_its_language() {
        let pictures = Forms {
            one: "# picture",
            other: "# pictures",
            ..Forms::NONE
        };
        for (count, text) in [(0, "0 pictures"), (1, "1 picture"), (21, "21 pictures")] {
            assert_eq!(pictures.of(Language::English, count), text);
            assert_eq!(pictures.of(Language::German, count), text);
        }
        let more = Forms {
            other: "# more",
            ..Forms::NONE
        };
        assert_eq!(more.of(Language::English, 1), "1 more");
    }
}

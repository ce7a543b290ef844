"""A language is guessed where there is enough to go by, and is unknown elsewhere."""

import pytest

from batchwright.documents.language_guess import LanguageGuess, guess_language, languages_known


@pytest.mark.parametrize(
    ("text", "script", "language"),
    [
        ("It is a truth universally acknowledged that of all the men to have a fortune…", "Latin", "en"),
        ("Der Hund und die Katze liegen in dem Garten, und das ist nicht der Grund zu gehen.", "Latin", "de"),
        ("La maison de la rue et les jardins que le maire en a faits sont des merveilles.", "Latin", "fr"),
        ("Он не пришёл на вокзал, и она сказала, что как он и не был.", "Cyrillic", "ru"),
        ("床前明月光，疑是地上霜。舉頭望明月，低頭思故鄉。", "Han", "zh"),
        ("吾輩は猫である。名前はまだ無い。どこで生れたか頓と見当がつかぬ。", "Kana", "ja"),
        ("ภาษาไทยเป็นภาษาที่มีระดับเสียง", "Thai", "th"),
        ("나는 학교에 갑니다", "Hangul", "ko"),
        ("for i in range(10): x[i] = a.s * v.z + t[k]", "Latin", "unknown"),
        ("a a a s s v v z z k k", "Latin", "unknown"),
        ("12 + 30 = 42 !?", "unknown", "unknown"),
        ("", "unknown", "unknown"),
        ("\ud800", "unknown", "unknown"),
    ],
)
def test_texts_and_what_they_are_written_in(text: str, script: str, language: str) -> None:
    assert guess_language(text) == LanguageGuess(script=script, language=language)


def test_every_language_of_the_filters_can_be_guessed() -> None:
    assert {"en", "de", "zh", "ja", "th", "ko", "el"} <= set(languages_known())

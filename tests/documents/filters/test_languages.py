"""Where words are not spaced, a text is judged as its translation is: prose is kept, what repeats itself is dropped."""

import pytest

from batchwright.documents.document import Document
from batchwright.documents.filters.languages import LANGUAGES, fields_for
from batchwright.documents.pipeline import Dropped
from batchwright.documents.presets import preset

PROSE = {
    "th": """เมื่อวานนี้ฉันไปตลาดกับแม่เพื่อซื้อผักและผลไม้สำหรับทำอาหารเย็นให้คนในครอบครัว
แม่ค้าขายมะม่วงสุกบอกว่าปีนี้ฝนตกน้อยทำให้ราคาผลไม้แพงกว่าทุกปีที่ผ่านมา
เราเดินดูร้านขายปลาที่อยู่ริมแม่น้ำแล้วเลือกปลาตัวใหญ่หนึ่งตัวกลับบ้าน
พอกลับถึงบ้านพ่อกำลังซ่อมจักรยานคันเก่าของน้องชายอยู่ใต้ต้นไม้หน้าบ้าน
หลังจากกินข้าวเสร็จพวกเรานั่งฟังวิทยุและเล่าเรื่องสมัยที่ปู่ยังเป็นเด็กให้กันฟัง""",
    "ja": """昨日は母と市場へ行き、夕食に使う野菜と果物を買いました。
店の人によると、今年は雨が少なかったので、みかんの値段がいつもより高いそうです。
川沿いの魚屋では大きな鯛を一匹選び、氷と一緒に袋へ入れてもらいました。
家に帰ると、父が庭の木の下で弟の古い自転車を直していたので、私も少し手伝いました。
食事のあと、みんなでお茶を飲みながら、祖父が子どもだった頃の話を夜遅くまで聞きました。""",
    "ko": """어제는 어머니와 함께 시장에 가서 저녁에 먹을 채소와 과일을 샀다.
가게 주인은 올해 비가 적게 와서 귤 값이 예년보다 비싸다고 말했다.
강가 생선 가게에서 할 수 있는 만큼 큰 도미 한 마리를 골라 얼음 및 소금과 함께 담았다.
집에 오니 아버지가 마당 나무 밑에서 동생의 낡은 자전거를 고치고 있어 나도 그 일을 조금 도왔다.
밥을 먹고 나서 우리는 차를 마시며 할아버지가 어릴 때 겪은 이 이야기 저 이야기를 밤늦게까지 들었다.
다음 날 아침에는 눈이 와서 온 마을이 하얗게 덮였고 아이들은 길에서 눈을 굴려 큰 사람을 만들었다.""",
}


def fate(text: str, language: str) -> str:
    """ "kept", or why the steps of `fineweb` drop it."""
    document = Document(text.encode(), 0, 0, 0)
    for step in preset("fineweb", language):
        after = step(document)
        if isinstance(after, Dropped):
            return after.reason
        document = after
    return "kept"


@pytest.mark.parametrize("language", sorted(PROSE))
def test_prose_is_kept_and_what_repeats_itself_is_dropped(language: str) -> None:
    assert fate(PROSE[language], language) == "kept"
    sentence = PROSE[language].split("\n")[1]
    assert fate(sentence * 20, language).startswith(("top_", "duplicated_"))
    assert fate("\n".join([sentence] * 20), language) == "dup_line_frac"


def test_ten_characters_of_japanese_are_five_words_and_repeat_as_much() -> None:
    japanese, english = (fields_for("gopher_repetition", language) for language in ("ja", "en"))
    assert japanese["max_repeated_10_grams"] == 0.15
    assert "max_repeated_10_grams" not in english  # as published: 0.15 for five words


def test_thresholds_in_words_are_scaled_by_the_characters_that_say_a_word() -> None:
    unspaced = {code: known.characters_per_word for code, known in LANGUAGES.items() if known.characters_per_word}
    assert {code: fields_for("gopher_quality", code)["min_words"] for code in unspaced} == {
        code: 50 * characters for code, characters in unspaced.items()
    }
    assert fields_for("fineweb_quality", "zh")["max_newlines_per_word"] == 0.2

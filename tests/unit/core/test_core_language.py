"""Languages are told where they can be; English is never called something else."""

# ruff: noqa: RUF001

from __future__ import annotations

import unicodedata

import pytest

from mmrag.core.language import detect_language

QUESTIONS = {
    "de": [
        "Wie lange gilt die Garantie?",
        "Was bedeutet Fehler E12?",
        "Welches Relais brauche ich für die Pumpe?",
        "Wo finde ich die Sicherung?",
        "Kann ich die Steuerung im Freien montieren?",
        "Wie hoch ist das maximale Drehmoment?",
        "Wann muss der Filter gewechselt werden?",
        "Was kostet ein Ersatzteil?",
        "Gibt es eine App?",
        "Wen rufe ich an, wenn die Pumpe leckt?",
        "Wie setze ich das Gerät zurück?",
        "Warum startet die Pumpe nicht?",
    ],
    "fr": [
        "Quelle est la durée de la garantie ?",
        "Que signifie l'erreur E12 ?",
        "De quel relais ai-je besoin pour la pompe ?",
        "Où se trouve le fusible ?",
        "Puis-je monter le contrôleur à l'extérieur ?",
        "Quel est le couple maximal ?",
        "Quand faut-il changer le filtre ?",
        "Combien coûte une pièce de rechange ?",
        "Y a-t-il une application ?",
        "Qui dois-je appeler en cas de fuite ?",
        "Comment réinitialiser l'appareil ?",
        "Pourquoi la pompe ne démarre pas ?",
    ],
    "es": [
        "¿Cuánto dura la garantía?",
        "¿Qué significa el error E12?",
        "¿Qué relé necesito para la bomba?",
        "¿Dónde está el fusible?",
        "¿Puedo montar el controlador al aire libre?",
        "¿Cuál es el par máximo?",
        "¿Cuándo hay que cambiar el filtro?",
        "cuánto cuesta una pieza de repuesto",
        "Hay una aplicación móvil",
        "¿A quién llamo si hay una fuga?",
        "Cómo restablecer el dispositivo",
        "Por qué no arranca la bomba",
    ],
    "it": [
        "Quanto dura la garanzia?",
        "Che cosa significa l'errore E12?",
        "Di quale relè ho bisogno per la pompa?",
        "Dove si trova il fusibile?",
        "Posso montare il regolatore all'aperto?",
        "Qual è la coppia massima?",
        "Quando devo cambiare il filtro?",
        "Quanto costa un pezzo di ricambio?",
        "C'è un'applicazione?",
        "Chi devo chiamare se perde acqua?",
        "Perché la pompa non parte?",
    ],
    "pt": [
        "Qual é a duração da garantia?",
        "O que significa o erro E12?",
        "De que relé preciso para a bomba?",
        "Onde está o fusível?",
        "Posso montar o controlador ao ar livre?",
        "Qual é o torque máximo?",
        "Quando devo trocar o filtro?",
        "Quanto custa uma peça de reposição?",
        "Existe um aplicativo para isso?",
        "Para quem eu ligo se houver vazamento?",
        "Como redefinir o dispositivo?",
        "Por que a bomba não liga?",
    ],
    "nl": [
        "Hoe lang is de garantie?",
        "Wat betekent fout E12?",
        "Welk relais heb ik nodig voor de pomp?",
        "Waar zit de zekering?",
        "Kan ik de regelaar buiten monteren?",
        "Wat is het maximale koppel?",
        "Wanneer moet het filter worden vervangen?",
        "Hoeveel kost een reserveonderdeel?",
        "Is er een app?",
        "Wie moet ik bellen als de pomp lekt?",
        "Hoe reset ik het apparaat?",
        "Waarom start de pomp niet?",
    ],
    "sv": [
        "Hur lång är garantin?",
        "Vad betyder fel E12?",
        "Vilket relä behöver jag till pumpen?",
        "Var sitter säkringen?",
        "Kan jag montera styrenheten utomhus?",
        "Vilket är det högsta vridmomentet?",
        "När måste filtret bytas?",
        "Hur mycket kostar en reservdel?",
        "Finns det en app?",
        "Vem ska jag ringa om pumpen läcker?",
        "Hur återställer jag enheten?",
        "Varför startar inte pumpen?",
    ],
    "da": [
        "Hvad betyder fejl E12?",
        "Hvornår skal filteret skiftes?",
        "Hvor meget koster en reservedel?",
        "Findes der en app?",
    ],
    "no": [
        "Hvor lang er garantien?",
        "Hva betyr feil E12?",
        "Hvilket relé trenger jeg til pumpen?",
        "Hvor sitter sikringen?",
        "Kan jeg montere styreenheten utendørs?",
        "Hva er det maksimale momentet?",
        "Når må filteret byttes?",
        "Hvor mye koster en reservedel?",
        "Finnes det en app?",
        "Hvem skal jeg ringe hvis pumpen lekker?",
    ],
    "fi": [
        "Kuinka pitkä takuu on?",
        "Mitä virhe E12 tarkoittaa?",
        "Minkä releen tarvitsen pumppuun?",
        "Missä sulake on?",
        "Voinko asentaa ohjaimen ulos?",
        "Mikä on suurin vääntömomentti?",
        "Milloin suodatin pitää vaihtaa?",
        "Paljonko varaosa maksaa?",
        "Onko sovellusta saatavilla?",
        "Kenelle soitan, jos pumppu vuotaa?",
        "Miten laite nollataan?",
    ],
    "pl": [
        "Jak długo trwa gwarancja?",
        "Co oznacza błąd E12?",
        "Jakiego przekaźnika potrzebuję do pompy?",
        "Gdzie jest bezpiecznik?",
        "Czy mogę zamontować sterownik na zewnątrz?",
        "Jaki jest maksymalny moment?",
        "Kiedy trzeba wymienić filtr?",
        "Ile kosztuje część zamienna?",
        "Czy jest aplikacja?",
        "Do kogo zadzwonić, gdy pompa przecieka?",
    ],
    "cs": [
        "Jak dlouho platí záruka?",
        "Co znamená chyba E12?",
        "Jaké relé potřebuji pro čerpadlo?",
        "Kde je pojistka?",
        "Mohu namontovat ovladač venku?",
        "Jaký je maximální moment?",
        "Kdy je třeba vyměnit filtr?",
        "Kolik stojí náhradní díl?",
        "Existuje mobilní aplikace?",
        "Komu mám zavolat, když čerpadlo teče?",
    ],
    "ro": [
        "Cât durează garanția?",
        "Ce înseamnă eroarea E12?",
        "De ce releu am nevoie pentru pompă?",
        "Unde este siguranța?",
        "Pot monta controlerul în exterior?",
        "Care este cuplul maxim?",
        "Când trebuie schimbat filtrul?",
        "Cât costă o piesă de schimb?",
        "Există o aplicație?",
        "Pe cine sun dacă pompa curge?",
    ],
    "hu": [
        "Meddig tart a garancia?",
        "Mit jelent az E12 hiba?",
        "Milyen relé kell a szivattyúhoz?",
        "Hol van a biztosíték?",
        "Felszerelhetem a vezérlőt a szabadban?",
        "Mennyi a maximális nyomaték?",
        "Mikor kell szűrőt cserélni?",
        "Mennyibe kerül egy alkatrész?",
        "Van hozzá alkalmazás?",
        "Kit hívjak, ha szivárog a szivattyú?",
    ],
    "tr": [
        "Garanti süresi ne kadar?",
        "E12 hatası ne anlama geliyor?",
        "Pompa için hangi röleye ihtiyacım var?",
        "Sigorta nerede?",
        "Kontrol ünitesini dışarıya monte edebilir miyim?",
        "En yüksek tork nedir?",
        "Filtre ne zaman değiştirilmeli?",
        "Yedek parça kaç para?",
        "Bir uygulama var mı?",
    ],
    "id": [
        "Berapa lama masa garansinya?",
        "Apa arti kesalahan E12?",
        "Relai mana yang saya butuhkan untuk pompa?",
        "Di mana letak sekringnya?",
        "Bisakah saya memasang pengontrol di luar ruangan?",
        "Berapa torsi maksimumnya?",
        "Kapan filter harus diganti?",
        "Berapa harga suku cadang?",
        "Apakah ada aplikasinya?",
        "Siapa yang harus saya hubungi jika pompa bocor?",
    ],
    "vi": [
        "Bảo hành bao lâu?",
        "Lỗi E12 nghĩa là gì?",
        "Tôi cần rơ le nào cho máy bơm?",
        "Cầu chì ở đâu?",
        "Khi nào cần thay bộ lọc?",
        "Phụ tùng giá bao nhiêu?",
        "Có ứng dụng không?",
        "Làm sao để đặt lại thiết bị?",
        "Mô-men xoắn tối đa là bao nhiêu?",
        "Tại sao máy bơm không khởi động?",
    ],
    "zh": [
        "保修期多长？",
        "E12是什么意思",
        "泵需要哪种继电器？",
        "保险丝在哪里？",
        "如何在 Ubuntu 上安装 mmrag",
    ],
    "ja": [
        "保証期間はどのくらいですか？",
        "エラーE12の意味は？",
        "ヒューズはどこですか",
        "フィルターの交換時期",
        "アプリはありますか",
    ],
    "ko": [
        "보증 기간은 얼마나 되나요?",
        "오류 E12는 무슨 뜻인가요?",
        "퓨즈는 어디에 있나요?",
        "필터 교체 시기",
    ],
    "ru": [
        "Какой срок гарантии?",
        "Что означает ошибка E12?",
        "Где находится предохранитель?",
        "Когда менять фильтр?",
        "Сколько стоит запчасть?",
    ],
    "uk": [
        "Який термін гарантії?",
        "Що означає помилка E12?",
        "Де знаходиться запобіжник?",
        "Коли міняти фільтр?",
        "Скільки коштує запчастина?",
    ],
    "ar": [
        "ما هي مدة الضمان؟",
        "ماذا يعني الخطأ E12؟",
        "أين المصهر؟",
    ],
    "he": [
        "כמה זמן האחריות?",
        "איפה הנתיך?",
    ],
    "el": [
        "Πόσο διαρκεί η εγγύηση;",
        "Πού είναι η ασφάλεια;",
    ],
    "th": [
        "การรับประกันนานเท่าไร",
        "ฟิวส์อยู่ที่ไหน",
    ],
    "hi": [
        "वारंटी कितने समय की है?",
        "फ्यूज कहाँ है?",
    ],
    "fa": [
        "مدت گارانتی چقدر است؟",
        "فیوز کجاست؟",
    ],
    "bg": [
        "Колко дълга е гаранцията?",
        "Къде се намира предпазителят?",
        "Какъв е максималният въртящ момент?",
    ],
}

NOT_ANOTHER_LANGUAGE = [
    "How long is the warranty?",
    "What does error E12 mean?",
    "Which relay do I need for the pump?",
    "relay wiring diagram",
    "warranty period pump",
    "Can I mount the controller outdoors?",
    "reset to factory settings",
    "What is the maximum torque?",
    "Where is the fuse?",
    "Who should I call if it leaks?",
    "How do I change the filter?",
    "price of spare parts",
    "Is there a mobile app?",
    "SQL join vs union",
    "install on Windows",
    "die cast aluminium housing",
    "man page for tar",
    "Des Moines office address",
    "Rio de Janeiro branch",
    "El Niño 1998 rainfall",
    "La Marzocco Linea Mini",
    "Volkswagen Golf ID.3 range",
    "café au lait recipe",
    "Where can I buy it?",
    "maximum operating temperature",
    "battery life",
    "torque 5 Nm M8 bolt",
    "os.path.join example",
    "how to list files in a directory",
    "Der Spiegel interview",
    "Las Vegas trade show 2024",
    "Müller GmbH invoice total",
    "São Paulo plant output",
    "list all errors",
    "pump does not start",
    "no pressure",
    "quid pro quo clause",
    "vis-à-vis",
    "de facto standard",
    "et al. 2019",
    "per diem rate",
    "war on drugs",
    "hat size",
    "Los Angeles",
    "van door handle",
    "[ Ondřej Nový ]",
    "Đoàn Trần Công Danh",
    "UTF-8 specific TODOs",
    "Frédéric Brière, Héctor Orón Martínez",
    "the Ω symbol and β decay",
    "Straße des 17. Juni",
    "users' guides and vendors' lists",
    "import os; print(os.path.join(a, b))",
    "for (int i = 0; i < n; i++) { des[i] = un; }",
    "12 345,67 €",
    "NASA ESA ISS DIE LES",
    "E12",
    "",
    "   ",
    "?",
    "😀",
    "μ",
]


@pytest.mark.parametrize(
    ("code", "question"), [(code, question) for code, group in QUESTIONS.items() for question in group]
)
def test_a_short_question_gives_its_language(code: str, question: str) -> None:
    assert detect_language(question) == code


@pytest.mark.parametrize("text", NOT_ANOTHER_LANGUAGE)
def test_english_names_code_and_numbers_are_never_another_language(text: str) -> None:
    assert detect_language(text) in (None, "en")


@pytest.mark.parametrize(
    "text", ["relay wiring diagram", "warranty period", "M12 connector", "x = 1", "", "42"]
)
def test_a_label_is_not_guessed(text: str) -> None:
    assert detect_language(text) is None


def test_near_languages_are_at_least_kept_apart_from_english() -> None:
    assert detect_language("Kan jeg montere styringen udendørs?") in ("da", "no")


def test_an_english_paragraph_with_foreign_words_stays_english() -> None:
    text = "The court held that it was void ab initio. La Maison de la Radio, Der Spiegel and El País agreed."
    assert detect_language(text) == "en"


def test_a_foreign_paragraph_with_english_terms_stays_foreign() -> None:
    text = "Die Pipeline liest den Input im Batch, schreibt in den Store und sendet dann ein Update."
    assert detect_language(text) == "de"


def test_a_chinese_question_on_an_english_product_is_chinese() -> None:
    assert detect_language("如何安装 Windows 子系统？") == "zh"


def test_only_the_beginning_of_a_long_text_is_read() -> None:
    assert (
        detect_language("This is how it works and what it does. " * 200 + "und das ist nicht die " * 9000)
        == "en"
    )


def test_accents_may_stand_apart_from_their_letters() -> None:
    composed = "Où est l'entrée de la société à côté ?"
    assert detect_language(unicodedata.normalize("NFD", composed)) == detect_language(composed) == "fr"


@pytest.mark.parametrize(
    "text", ["a" * 10**6, "`" * 10**6, "'" * 10**6, "a." * 10**6, "é" * 10**6, "(" * 10**6]
)
def test_hostile_text_is_harmless(text: str) -> None:
    assert detect_language(text) in (None, "en")

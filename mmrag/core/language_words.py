"""Frequent words, letters and endings by which Latin-script languages are told apart."""

# ruff: noqa: RUF001

from __future__ import annotations

# Function words, then words that questions begin with or turn on.
WORDS = {
    "en": """
        the of and to in is you that it he was for on are as with his they i at be this have from or one had
        by but not what all were we when your can said there use an each which she do how their if will up
        other about out many then them these so some her would make like him into has look more go see no
        way could my than been who now did get come made may down does where why whose whom should must
        shall might any don doesn isn aren won didn cannot between without within after before under over
        through while because only also both such much very every our us me its here just too off again
        against during 'm 're 'll 've 't 's a am most need needs using used work works mean means change
        find show tell give please being set long
    """,
    "de": """
        der die das und ist nicht ein eine einen einem einer eines mit von zu im auf für den dem des sich es
        auch als an werden wird aus bei nach wie sind über oder hat haben um am zum zur durch wenn nur noch
        kann können muss müssen soll sollte mein meine meinen dein ihr ihre sein seine wir ich sie er du man
        was wer wo wann warum wieso welche welcher welches welchen wieviel viel viele lange gibt gilt kostet
        kosten kein keine keinen war wurde worden dass daß diese dieser dieses diesem diesen unter vor
        zwischen gegen ohne bis seit mehr sehr schon immer hier dort damit dabei beim vom ins ans aber
        sondern sowie bzw darf bedeutet brauche brauchen finde dürfen möchte funktioniert macht bitte wählen
        geben muß jetzt neue neuen alle alles
    """,
    "fr": """
        le la les de des du un une et est en que qui dans pour pas sur plus par ce cette ces il elle on nous
        vous ils elles je tu au aux avec son sa ses leur leurs mais ou où se ne sont être avoir fait peut
        été l' d' qu' n' s' c' j' m' lorsqu' puisqu' jusqu' quel quelle quels quelles comment combien quand
        pourquoi quoi quelqu' si comme tout tous toute toutes même aussi bien sans sous entre après avant
        chez depuis doit dois faut faire ont ai a à y votre vos notre nos mon ma mes ceci cela ça était très
        peu encore veuillez puis donc dont lors dès jusque vers contre pendant autre autres aucun aucune ici
        cet dure durée coûte trouve trouver sert appelle mettre signifie besoin changer
    """,
    "es": """
        el la los las de del un una unos unas y es en que qué por para con no se su sus lo le les al como
        cómo más pero o si sí está están este esta esto estos estas ese esa eso son ser fue ha han hay muy
        sin sobre entre cuando cuándo cuánto cuánta cuántos cuántas dónde donde quién cuál cuáles porque
        también ya todo todos toda todas mi mis me te tu nos yo él ella usted puede puedo pueden debe deben
        tiene tienen hace hacer desde hasta durante contra según otro otra otros cada así sólo solo nada
        nuestro nuestra era cuesta sirve dura necesito encuentra funciona ni muchos vez años significa
        necesita
    """,
    "it": """
        il lo la i gli le un una uno di a da in con su per tra fra del dello della dei degli delle al allo
        alla ai agli alle dal dalla dai nel nella nei nelle sul sulla sui e è che chi non si come dove
        quando quanto quanta quanti quante perché cosa quale quali sono essere ha hanno ho anche più ma se o
        questo questa questi queste quello quella suo sua suoi loro mio mia tuo nostro ci ne mi ti vi può
        possono posso deve devono devo fare fatto stato era dopo prima senza sotto sopra ogni tutto tutti
        tutte molto l' d' un' dell' all' dall' nell' sull' c' cos' com' quest' dov' qual costa dura serve
        funziona viene trova significa bisogno cambiare massima
    """,
    "pt": """
        o a os as um uma uns umas de do da dos das e é em no na nos nas que por para com não se ao à aos às
        como mais mas ou foi ser são está estão este esta isto esse essa isso aquele seu sua seus suas eu
        você ele ela eles nós meu minha tem têm há já muito também só pelo pela pelos pelas quando onde quem
        qual quais quanto quanta quantos quantas porque até sem sobre entre depois cada pode podem posso
        deve devem fazer feito era ter sido num numa nem todo todos toda todas outro outra aqui custa dura
        funciona preciso fica serve significa existe devo
    """,
    "nl": """
        de het een en van is in op te dat die niet zijn voor met aan er om als ook maar dan bij door naar
        uit nog wel of ik je jij u hij zij ze we wij mijn jouw uw hun ons onze dit deze wat wie waar wanneer
        waarom hoe welke welk hoeveel hoelang lang kan kunnen moet moeten mag mogen wordt worden werd heeft
        hebben had was waren zal zullen over tot tegen tussen onder zonder na geen meer veel alle alles
        andere daar hier toe gaat doen doet werkt kost staat vind nieuwe bent ben kun zit betekent nodig
        vinden buiten
    """,
    "sv": """
        och att det i en på är som för med av till den inte har de ett om var jag han hon du vi ni man så
        men från kan när vad vem vilken vilket vilka hur varför vart många mycket länge eller skall ska
        skulle vara blir blev här där detta denna dessa sig sin sitt sina min mitt din ditt utan över under
        efter mellan bara också än nu måste får finns något någon inget ingen alla allt mer vid kostar gör
        gäller fungerar använda ange välja vill ju år betyder behöver sitter
    """,
    "da": """
        og at det i en på er som for med af til den ikke har de et om var jeg han hun du vi man så men fra
        kan når hvad hvem hvilken hvilket hvilke hvor hvorfor hvornår hvordan mange meget længe eller skal
        skulle være bliver blev her der dette denne disse sig sin sit sine min mit din dit uden over under
        efter mellem kun også end nu må får findes noget nogen intet ingen alle alt mere ved koster gør
        gælder virker bruge vælg indtast blive hvis ud op jer betyder sidder
    """,
    "no": """
        og at det i en på er som for med av til den ikke har de et om var jeg han hun du vi man så men fra
        kan når hva hvem hvilken hvilket hvilke hvor hvorfor hvordan mange mye lenge eller skal skulle være
        blir ble her der dette denne disse seg sin sitt sine min mitt din ditt uten over under etter mellom
        bare også enn nå må får finnes noe noen intet ingen alle alt mer ved koster gjør gjelder fungerer
        virker bruke velg ei ut opp dere hvis betyr trenger sitter
    """,
    "fi": """
        ja on ei se että hän oli olla ovat joka jotka mutta niin kuin tai kun myös vain jos sen tämä tämän
        nämä ne mitä mikä mitkä kuka missä mistä mihin milloin miksi miten kuinka paljonko montako kauanko
        kanssa ole olen olet voi voin voiko voit voivat pitää täytyy sitä siitä tätä hänen minun minä sinä
        me te he jo nyt sekä kaikki ennen jälkeen ilman yli ali kautta mukaan saa pitkä kauan paljon monta
        maksaa onko eikä eivät jonka joita tulee koska toimii löytyy käyttää anna valitse tarkoittaa minkä
        voinko kenelle tarvitsen
    """,
    "pl": """
        i w na z do nie się to jest że o jak po za od dla przez czy ale co ten ta te tego tej tym być są był
        była było będzie może można oraz lub który która które których jej jego ich go mu mnie mi ja ty my
        wy on ona ono oni tylko już bardzo gdzie kiedy dlaczego kto jaki jaka jakie ile czego jeśli jeżeli
        gdy ponieważ pod nad przed przy bez między także też tak więc ma mają mam musi muszę należy trzeba
        kosztuje działa trwa długo proszę ze we żeby wszystkie każdy jako nowy oznacza kogo jakiego
        potrzebuję mogę
    """,
    "cs": """
        a v na se je že s z do o i k ve to jako za by ale po pro od jsou jsem který která které byl byla
        bylo být tak jak co kde kdy proč kdo jaký jaká jaké kolik nebo si jeho její jejich tento tato toto
        této při podle mezi bez před přes nad pod až jen už také ještě když aby může mohou musí má mají není
        nejsou ze jste dlouho stojí funguje lze pokud všechny každý něco prosím vyberte zadejte nové ke
        znamená mohu komu mám potřebuji existuje
    """,
    "ro": """
        și de în la a cu pe un o nu este sunt din că să se care pentru mai ce ca sau dar al ale lui ei prin
        fost fi are au am ai cum când unde cine cât câte câți câtă după fără între sub spre până dacă
        această acest aceste acestea acesta lor el ea eu tu noi voi ne vă îmi își poate pot trebuie fie
        foarte doar tot toate toți cel cea cei cele dintre asupra costă durează funcționează sînt într nou
        înseamnă nevoie există
    """,
    "hu": """
        a az és hogy nem is egy meg ez van de volt csak mint ha már vagy mi ki el még én te ő azt ezt mit
        kell lehet milyen melyik mennyi mennyibe hány hol hova mikor miért hogyan mennyit meddig nincs
        minden sem után előtt alatt között nélkül szerint által lesz volna ezek azok amely ami aki amit ahol
        akkor így fel le be át több nagyon kerül tart működik található legyen kérem új jelent hozzá
        szükséges lehetséges kit
    """,
    "tr": """
        ve bir bu için ile de da ne mi mı mu mü çok daha gibi olan olarak olduğu var yok değil her kadar
        sonra önce ama veya ya en ben sen biz siz o şu nasıl nerede nereye nereden neden niçin niye kim
        hangi kaç ise ki hiç bütün tüm kendi üzerinde altında arasında göre nedir midir mıdır eder olur oldu
        olmak gerekir gerekiyor yapılır kullanılır lütfen süre sürer yeni girin seçin olmalıdır zaman anlama
        gelir edebilir miyim ihtiyacım
    """,
    "id": """
        yang dan di ke dari untuk dengan pada adalah ini itu tidak akan dalam oleh saya anda kami kita
        mereka dia ada apa siapa mana bagaimana berapa kapan mengapa kenapa apakah atau juga sudah telah
        bisa dapat harus lebih karena seperti jika bila saat tersebut sebagai setelah sebelum antara tanpa
        lama semua banyak boleh belum agar silakan dimana arti letak berarti bisakah
    """,
    "vi": """
        và của là có không cho với các những một này đó được trong trên từ đến để khi như thì mà ở ra vào
        làm nào gì sao ai đâu bao nhiêu thế lâu cần phải bạn tôi chúng nó rất cũng đã sẽ đang nếu hoặc về
        theo
    """,
}

_ENGLISH_TOO = """
    ab ad ada af ai aki al ala ale ali all allo also alt am ami amit an ander anna arm art as at au aux az
    back bad bare barn be ben bent best bin bis bit bra by c' ca cad care ce cet chi cho ci co com come
    comment con costa d' da dado dai dal dan dare das de den der des di dia die dig do don door dos dove
    du due ea el ele em en end era es esa est et eu ex fall fan far fare fast fel fi file fin for gilt go
    god good gut ha ham han hand har hat hell hem her here ho hon hot hun i id ii iii il inga ini ins iv
    j' ja jen jo jos ju ke ki kim kind kit kost la lag lama land lang lange las le led les lit lo los m'
    ma mag mai male mam man mana mas me med meer meg men mere met mi mia mig mild min mine mint mis mit
    mode mon more most mu my n' na nad name nap ne nel net next ni no non nos not nu num od og ol old ole
    oli om on ons op opp os ought pa pan par para pas pe per pero plan plus po pod port pot pour prima pro
    quale qui quid ra rock s' sa saat sale sans sauf se seg sen ser sera serve si side sig sin sine sit so
    sole solo son still su sub sur são ta tag tai tak tale tar te ten ter theo ti til till time to todo
    todos toe ton tot tra tu tuo two ty un un' under ut ute va van var ve vers vi via vid vis von vos war
    warm wind wit ya yang za à é
"""
ENGLISH_TOO = frozenset(_ENGLISH_TOO.split())
"""What English text has too, as words or in names: it proves nothing for another language."""

# Letters that English text has only in names and loan words, with the languages that use them most.
# Two words with such letters are not proof by themselves ("Müller and Škoda").
LETTERS = (
    ("ß", "de"),
    ("äöü", "de fi sv tr hu"),
    ("ñ", "es"),
    ("áéíóú", "es pt hu cs"),
    ("ãõ", "pt"),
    ("èàùêûœâôéç", "fr"),
    ("èàìòù", "it"),
    ("ąęłńśźżć", "pl"),
    ("ěřůťďčžšý", "cs"),
    ("ğışç", "tr"),
    ("ăâîșțţ", "ro"),
    ("őűáé", "hu"),
    ("øæå", "da no"),
    ("åäö", "sv"),
    ("ạảấầẩẫậắằẳẵặẹẻẽếềểễệịỉọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹđươ", "vi"),
)

ENDINGS: dict[str, tuple[str, ...]] = {
    "de": ("keit", "heit", "lich", "schaft", "ungen", "leitung", "stellung"),
    "fr": ("ement", "euse", "euses", "ique", "iques", "eux"),
    "es": ("ción", "ciones", "mente", "idad", "miento"),
    "it": ("zione", "zioni", "mente", "ità", "aggio", "mento"),
    "pt": ("ção", "ções", "mente", "dade", "mento"),
    "nl": ("heid", "lijk", "lijke", "ingen"),
    "sv": ("ningen", "ningar", "heten", "arna", "erna"),
    "fi": ("ssa", "ssä", "sta", "stä", "lla", "llä", "een", "nen", "ksen", "tään", "taan"),
    "pl": ("ości", "ować", "anie", "enie", "ego"),
    "cs": ("ování", "ost", "osti", "ého", "ní"),
    "tr": ("lar", "ler", "ları", "leri", "dır", "dir", "nin", "nın", "ması", "mesi"),
    "hu": ("ság", "ség", "ban", "ben", "nak", "nek", "hoz", "ott"),
    "id": ("kan", "nya"),
}

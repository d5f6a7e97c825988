"""How people of different places write: sentences, names, and their phone numbers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Locale:
    """One language in one country. In ``phones`` # is a digit and N one from 2 to 9; a sentence has ``{name}`` and
    ``{value}``."""

    region: str
    sentences: tuple[str, ...]
    names: tuple[str, ...]
    phones: tuple[str, ...]
    phone_words: tuple[str, ...]


_EN = (
    "Hi, this is {name}. Please reach me at {value} before Friday.",
    "{value} is what {name} gave us on the call",
    "I already sent {value} twice!! why is nobody answering?",
    "customer {name} complained about order 44871, contact {value}; refund pending",
    "pls update my record to {value}, thx",
    "Re: your request\nWe have {value} on file, is this still right?\n-- {name}",
)

LOCALES = (
    Locale("US", _EN, ("Jane Doe", "Tyrone Washington", "María García"),
           ("(N15) N55-####", "N12-N45-####", "+1 N13 N67 ####", "+1N142345###", "1-N17-N34-####", "N16.N34.####"), ("call", "phone:", "tel", "cell")),
    Locale("GB", _EN, ("Oliver Smith", "Siobhán O'Neil", "Priya Patel"),
           ("020 7946 0###", "07912 345 ###", "+44 20 7946 0###", "+44 (0)7911 12####", "07700 90####", "0161 496 0###"), ("call", "mobile:", "phone")),
    Locale("CA", _EN, ("Émile Tremblay", "Ava MacDonald"), ("(416) 555-01##", "604-555-01##", "+1 514 555 01##"), ("phone", "cell")),
    Locale("AU", _EN, ("Lachlan Brown", "Mia Nguyen"), ("0412 345 ###", "(02) 9374 4###", "+61 412 345 ###", "+61 2 9374 4###"), ("mobile", "phone:")),
    Locale("IN", _EN, ("Aarav Sharma", "Diya Iyer"), ("98765 43###", "+91 98765 43###", "+919876543###", "098765 43###"), ("call", "mobile no")),
    Locale("DE", ("Bitte rufen Sie {name} unter {value} zurück.", "Meine Angaben: {value}, danke!", "{name} hat {value} angegeben, Bestellung 2201.",
                  "Können Sie {value} bitte ändern? Gruß, {name}"), ("Jürgen Müller", "Anneliese Groß"),
           ("030 9018###", "0171 2345###", "+49 30 9018###", "+49 (0)171 2345###", "089/12345##", "0221-12345##"), ("Tel.", "Telefon:", "Handy")),
    Locale("AT", ("Bitte {value} für {name} speichern.", "Servus, {value} passt so."), ("Franz Huber", "Elfriede Wöhrer"),
           ("0664 1234###", "+43 664 1234###", "+43 1 58858###"), ("Tel", "Telefon")),
    Locale("CH", ("Grüezi, {value} ist richtig, {name}.", "Bitte {value} notieren"), ("Reto Keller", "Céline Favre"),
           ("044 668 18 ##", "079 123 45 ##", "+41 44 668 18 ##"), ("Tel.", "Natel Telefon")),
    Locale("FR", ("Bonjour, vous pouvez joindre {name} : {value}.", "Merci de corriger {value} dans mon dossier", "{value}, c'est noté. Cordialement, {name}",
                  "Le client a donné {value} hier soir"), ("Éloïse Lefèvre", "Jean-Pierre Dubois"),
           ("01 42 68 53 ##", "06.12.34.56.##", "+33 6 12 34 56 ##", "06 12 34 56 ##", "+33612345###", "06123456##"), ("Tél", "téléphone :", "portable")),
    Locale("ES", ("Hola, soy {name}, mi dato es {value}.", "Por favor actualicen {value} cuanto antes", "El cliente indicó {value} por chat"),
           ("Lucía Fernández", "José Ángel Muñoz"), ("612 34 56 ##", "+34 612 34 56 ##", "91 123 45 ##", "612 345 6##"), ("teléfono", "móvil:", "Tel.")),
    Locale("IT", ("Buongiorno, sono {name}: {value}.", "Vi prego di modificare {value} grazie", "Il cliente ha fornito {value} ieri"),
           ("Giulia Rossi", "Niccolò D'Angelo"), ("347 123 4###", "06 6982 1###", "+39 347 123 4###", "+39 06 6982 1###"), ("telefono", "cellulare:", "tel")),
    Locale("PT", ("Olá, sou {name} e deixo {value}.", "Podem atualizar {value} por favor?"), ("João Gonçalves", "Inês Araújo"),
           ("912 345 6##", "21 123 45 ##", "+351 912 345 6##"), ("telefone", "telemóvel", "tel")),
    Locale("BR", ("Oi, aqui é {name}, segue {value}.", "Favor corrigir {value} no cadastro", "o cliente informou {value} ontem"), ("Thiago Souza", "Antônia Conceição"),
           ("(11) 91234-56##", "(21) 2345-67##", "+55 11 91234-56##", "11 91234-56##"), ("telefone", "celular:", "whatsapp")),
    Locale("MX", ("Hola, {name} dejó {value}.", "Mi dato correcto es {value}, gracias"), ("Ximena Hernández", "Raúl Peña"),
           ("55 1234 56##", "+52 55 1234 56##", "33 1234 56##"), ("teléfono", "cel.", "celular")),
    Locale("NL", ("Hallo, {name} is bereikbaar via {value}.", "Graag {value} aanpassen, dank!"), ("Sanne de Vries", "Pieter van den Berg"),
           ("06 12345###", "020 624 11##", "+31 6 1234 5###", "06-12345###"), ("telefoon", "tel.", "mobiel")),
    Locale("BE", ("Bonjour, notez {value} pour {name}.", "Gelieve {value} te wijzigen"), ("Lotte Peeters", "Benoît Dupont"),
           ("0470 12 34 ##", "02 512 34 ##", "+32 470 12 34 ##"), ("tel", "gsm")),
    Locale("SE", ("Hej, {name} här: {value}.", "Kan ni ändra till {value}? Tack"), ("Åsa Lindqvist", "Björn Öberg"),
           ("070-123 45 ##", "08-123 456 ##", "+46 70 123 45 ##"), ("telefon", "mobil", "tel")),
    Locale("NO", ("Hei, {name} kan nås på {value}.", "Endre til {value}, takk"), ("Øystein Berg", "Kari Nordmann"),
           ("22 12 34 ##", "912 34 5##", "+47 22 12 34 ##", "+47 912 34 5##"), ("telefon", "mobil", "tlf telefon")),
    Locale("DK", ("Hej, {name} oplyser {value}.", "Ret venligst til {value}"), ("Søren Ærø", "Mette Kjær"), ("32 12 34 ##", "+45 32 12 34 ##", "20 12 34 ##"), ("telefon", "mobil")),
    Locale("FI", ("Hei, {name} tässä: {value}.", "Muuttakaa {value} kiitos"), ("Äiti Mäkinen", "Jukka Ylönen"), ("040 123 45##", "+358 40 123 45##", "09 1234 5##"), ("puhelin", "puh. matkapuhelin")),
    Locale("PL", ("Dzień dobry, tu {name}: {value}.", "Proszę zmienić {value}"), ("Łukasz Wiśniewski", "Żaneta Król"), ("512 345 6##", "22 123 45 ##", "+48 512 345 6##"), ("telefon", "tel.", "komórka")),
    Locale("CZ", ("Dobrý den, {name}: {value}.", "Prosím opravte {value}"), ("Jiří Dvořák", "Růžena Šťastná"), ("601 123 4##", "+420 601 123 4##"), ("telefon", "mobil")),
    Locale("TR", ("Merhaba, ben {name}: {value}.", "Lütfen {value} olarak değiştirin"), ("Ayşe Yılmaz", "Çağlar Öztürk"), ("0532 123 45 ##", "+90 532 123 45 ##", "532 123 45 ##"), ("telefon", "cep")),
    Locale("RU", ("Здравствуйте, это {name}, вот {value}.", "Пожалуйста, исправьте {value}"), ("Анна Иванова", "Фёдор Ёлкин"),
           ("+7 495 123-45-##", "8 (495) 123-45-##", "8 912 345-67-##", "+7 (912) 345-67-##"), ("телефон", "тел.", "телефон:")),
    Locale("JP", ("{name}です。{value}に変更してください。", "お世話になります。{value}\n{name}"), ("山田太郎", "佐藤花子"), ("090-1234-5###", "03-1234-5###", "+81 90-1234-5###"), ("電話", "携帯:")),
    Locale("CN", ("您好，我是{name}，请改成{value}。", "客户{name}留下了{value}，请跟进"), ("王小明", "李娜"), ("138 1234 5###", "+86 138 1234 5###", "010-6552 9###", "1381234####"), ("电话", "手机:")),
    Locale("KR", ("안녕하세요 {name}입니다. {value} 로 변경해 주세요.", "{value} 확인 부탁드립니다"), ("김민수", "이서연"), ("010-1234-5###", "02-312-3###", "+82 10-1234-5###"), ("전화", "연락처:")),
    Locale("SG", _EN, ("Tan Wei Ming", "Nurul Huda"), ("6123 4###", "9123 4###", "+65 6123 4###"), ("call", "hp")),
    Locale("ZA", _EN, ("Thandiwe Nkosi", "Pieter Botha"), ("082 123 4###", "011 123 4###", "+27 82 123 4###"), ("cell", "call")),
    Locale("AE", _EN, ("Fatima Al Mansoori", "Omar Haddad"), ("050 123 4###", "+971 50 123 4###", "04 323 4###"), ("mobile", "call")),
)  # fmt: skip

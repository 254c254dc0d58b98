"""Chapters 1 to 6 of the Larkwind 150 manual: from unpacking to commissioning."""

from __future__ import annotations

from reportlab.platypus import Flowable, FrameBreak, NextPageTemplate, PageBreak, Spacer

from example_corpus.drawings import cutaway, terminal_compartment
from example_corpus.facts import TERMINALS
from example_corpus.layout import bullets, callout, chapter, figure, grid, section, steps, text


def about() -> list[Flowable]:
    """Chapter 1."""
    return [
        chapter("1 About this manual"),
        text(
            "This manual describes the Larkwind 150 heat-recovery ventilation unit. It is written for two "
            "readers: the people who live with the unit, who will mostly need chapters 7 to 9, and the "
            "installer, who should read chapters 2 to 6 before opening the box. Keep the manual in the "
            "pocket on the inside of the front door and hand it over when the house changes hands."
        ),
        text(
            "The manual applies to units with serial numbers from LW150-2400001 and with firmware 3.4 or "
            "later. The larger Larkwind 300 has its own data sheet; its dimensions, pipe sizes and service "
            "intervals differ, and nothing in this manual may be carried over to it without checking."
        ),
        section("1.1 Signal words"),
        *grid(
            [
                ("Word", "Meaning"),
                ("WARNING", "Failure to follow the instruction may lead to death or serious injury."),
                (
                    "CAUTION",
                    "Failure to follow the instruction may lead to minor injury or damage to the unit.",
                ),
                ("NOTE", "Useful information that saves time or energy."),
            ],
            (30, 140),
        ),
        section("1.2 Who may do what"),
        text(
            "Residents may change filters, clean the valves and use every function of the room control. "
            "Electrical connection is reserved for a qualified electrician. The fan section, behind the "
            "inner panel with the two red screws, may be opened only by service partners who have "
            "completed the Tarnholt service course."
        ),
        *grid(
            [
                ("Task", "Resident", "Electrician", "Service partner"),
                ("Change filters, clean valves", "yes", "yes", "yes"),
                ("Connect mains, sensors and room control", "no", "yes", "yes"),
                ("Balance the air volumes", "no", "no", "yes"),
                ("Replace fans, exchanger or circuit board", "no", "no", "yes"),
            ],
            (80, 30, 30, 30),
        ),
        section("1.3 Scope of delivery"),
        *bullets(
            "Larkwind 150 with one filter set fitted",
            "Wall bracket with rubber strip, four screws 8 x 60 mm and plugs",
            "Condensate trap with ball, 20 mm",
            "Room control, white, with back box",
            "This manual, commissioning label and registration card",
        ),
        section("1.4 Storage"),
        text(
            "Until it is installed, store the unit upright and dry in its carton, between -10 and 50 °C. "
            "No more than three cartons may be stacked. Leave the protective caps on the four duct spigots "
            "until the ducts are connected, so that building dust does not reach the exchanger."
        ),
    ]


def safety() -> list[Flowable]:
    """Chapter 2."""
    return [
        chapter("2 Safety"),
        text(
            "The unit supplies dwellings with filtered outdoor air and removes stale, humid air from "
            "kitchens and bathrooms. Any other use is improper. In particular, the Larkwind 150 is not "
            "suitable for swimming pool halls, for workshops with solvent vapours, or for drying out a "
            "building during construction."
        ),
        callout(
            "WARNING",
            "Electric shock. Before removing the terminal cover, isolate the unit from the mains and wait "
            "at least three minutes: the capacitors of the fan drives remain charged after the supply has "
            "been cut.",
        ),
        callout(
            "WARNING",
            "Carbon monoxide. An open-flued stove or fireplace in the same dwelling may only be operated "
            "when a pressure monitor is wired to the stove interlock (terminals 9 and 10). When the "
            "monitor opens the contact, both fans stop within two seconds.",
        ),
        callout(
            "CAUTION",
            "Sharp edges. The fins of the heat exchanger can cut. Wear cut-resistant gloves whenever the "
            "exchanger is taken out of the unit.",
        ),
        callout(
            "CAUTION",
            "Heavy load. The unit weighs 21 kg without packaging. Two people are needed to lift it onto "
            "the bracket.",
        ),
        section("2.1 Children and vulnerable people"),
        text(
            "Children from the age of eight, and people with reduced physical or mental abilities, may "
            "operate the room control if they have been shown how. Children must not play with the unit, "
            "and must not change filters without supervision."
        ),
        section("2.2 Fire and smoke"),
        text(
            "If a smoke alarm sounds, or if the authorities ask residents to close doors and windows "
            "because of smoke or chemicals outdoors, press and hold the Away key for six seconds. The unit "
            "then stops and both shut-off dampers close. It stays off until the key is pressed again."
        ),
        section("2.3 Filters"),
        text(
            "Never run the unit without filters. Dust that settles between the fins cannot be removed "
            "completely and lowers the heat recovery for good; damage caused in this way is not covered by "
            "the warranty."
        ),
        section("2.4 Frost"),
        text(
            "The unit and the condensate pipe must be kept free of frost. In an unheated attic the pipe "
            "needs a trace heating cable, and the unit should be ordered with the enthalpy exchanger, "
            "which produces no condensate in normal use."
        ),
        section("2.5 Standards"),
        text(
            "The unit has been tested for household use as an appliance of protection class I. The "
            "electrical work has to follow the wiring rules of the country of installation; where these "
            "rules are stricter than this manual, they prevail."
        ),
    ]


def description() -> list[Flowable]:
    """Chapter 3, with the cutaway as Figure 1."""
    return [
        chapter("3 How the unit works"),
        text(
            "Two quiet fans move two separate streams of air through a counterflow heat exchanger made of "
            "thin aluminium sheets. Warm, used air from kitchen, bathroom and toilet gives its heat to the "
            "cold air from outdoors; the two streams never mix. Under nominal conditions the Larkwind 150 "
            "returns 88 % of the heat that would otherwise be lost through an open window."
        ),
        figure(
            cutaway(),
            156,
            "Figure 1: The Larkwind 150 with its front door removed. Letters mark the parts named in the "
            "legend.",
        ),
        section("3.1 Bypass"),
        text(
            "On summer nights heat recovery is unwelcome. The bypass damper then leads the outdoor air "
            "around the exchanger. It opens by itself when the rooms are warmer than 23 °C and the air "
            "outdoors is both cooler than the rooms and warmer than 14 °C, and it closes again as soon as "
            "one of these conditions is no longer met."
        ),
        section("3.2 Frost protection"),
        text(
            "When the temperature of the exhaust air falls below 2 °C, the supply fan slows down step by "
            "step so that warm extract air can keep the exchanger free of ice. If a preheater is fitted, "
            "it is switched on first and the fan slows down only when its power is not enough."
        ),
    ]


def mounting() -> list[Flowable]:
    """Chapter 4, first page."""
    return [
        chapter("4 Installation"),
        section("4.1 Choosing the place"),
        text(
            "Mount the unit indoors, in a room that stays between 5 and 40 °C all year round, such as a "
            "utility room, a store or a heated attic. Bedrooms and the walls behind headboards are poor "
            "choices even though the unit is quiet. A drain connection and a mains socket must be within "
            "reach."
        ),
        text(
            "The wall must weigh at least 200 kg per square metre; on lighter walls use a mounting frame "
            "that stands on the floor, because a light partition radiates the hum of the fans into the "
            "next room."
        ),
        *grid(
            [
                ("Side", "Free space", "Reason"),
                ("In front", "600 mm", "Opening the door, drawing out the exchanger"),
                ("Left and right", "50 mm", "Hanging the unit onto the bracket"),
                ("Above", "300 mm", "Duct bends and silencers"),
                ("Below", "250 mm", "Condensate trap and its cleaning"),
            ],
            (40, 40, 90),
            "Table 1: Clearances around the Larkwind 150",
        ),
        section("4.2 Hanging the unit"),
        *steps(
            "Mark the upper edge of the bracket 1.75 m above the finished floor and check it with a spirit "
            "level.",
            "Fix the bracket with the four screws supplied. Tighten each of them to 12 Nm.",
            "Stick the rubber strip onto the lower back of the unit, so that metal never touches the wall.",
            "Lift the unit with two people, hang it onto the bracket and let it slide down until it clicks.",
            "Check that the unit leans neither left nor right. It should tilt back towards the wall by no "
            "more than one degree, so that condensate finds the drain.",
        ),
        section("4.3 Left-hand and right-hand versions"),
        text(
            "The unit is delivered in a right-hand version, in which the two spigots on the outdoor side "
            "are on the right. A left-hand version is not a conversion kit but a separate type (LW150-L) "
            "and has to be ordered from the factory; the letter after the type number on the nameplate "
            "tells which version is in front of you."
        ),
        callout(
            "NOTE",
            "Take a photograph of the nameplate before the unit is hung. It is on the left side of the "
            "housing and is hard to reach afterwards, yet the service department will always ask for it.",
        ),
    ]


def ducts(column_width: float) -> list[Flowable]:
    """Chapter 4, second page, in two columns."""
    return [
        section("4.4 Ducts"),
        text(
            "All four spigots take round ducts of 125 mm. Use smooth pipe; flexible hose is permitted only "
            "for the last half metre before a valve. Plan no more than three bends on each branch, and "
            "keep the speed of the air below 3 m/s in main ducts and below 2 m/s at the valves."
        ),
        text(
            "Ducts for outdoor and exhaust air run cold. Wrap them in at least 25 mm of vapour-tight "
            "insulation and seal its joints, or they will drip. Ducts for supply and extract air need "
            "insulation only where they cross unheated rooms."
        ),
        section("4.5 Silencers"),
        text(
            "Fit one silencer of 900 mm in the supply duct and one in the extract duct, directly after the "
            "unit. A telephony silencer between two bedrooms keeps voices where they belong."
        ),
        section("4.6 Outdoor openings"),
        text(
            "Intake and outlet must be at least 1.5 m apart, and further if both are on the same wall with "
            "the wind against it. Place the intake no lower than 2 m above ground and well away from "
            "compost heaps, car parks and flues."
        ),
        text("A grille with openings smaller than 8 mm clogs with leaves and insects within one season."),
        FrameBreak(),
        section("4.7 Condensate drain"),
        text(
            "On cold days up to half a litre of water an hour drips from the exchanger. It leaves the unit "
            "through a spigot for a 20 mm pipe at the bottom. Lay the pipe with a fall of at least 2 cm "
            "per metre, and end it freely above a siphon; it must not be glued into the waste pipe."
        ),
        *steps(
            "Screw the trap with ball onto the spigot, hand-tight.",
            "Pour 0.3 litres of water into the tray and see whether it runs off.",
            "Switch the unit to Boost and check that no air whistles back through the trap.",
        ),
        callout(
            "CAUTION",
            "A trap that has dried out lets sewer smell into the supply air. Trap LW-1701 closes with a "
            "ball even when it is dry; ordinary bends do not.",
            column_width,
        ),
        section("4.8 Valves in the rooms"),
        text(
            "Supply valves belong in bedrooms and living rooms, extract valves in kitchen, bathroom and "
            "toilet. The extract valve of the kitchen must be at least 2 m away from the hob and carries a "
            "washable grease filter. A cooker hood must never be connected to the unit."
        ),
        text(
            "Air has to be able to pass from room to room: shorten the doors so that a gap of 10 mm "
            "remains above the floor covering, or fit a transfer grille."
        ),
        section("4.9 Leak test"),
        text(
            "Before ceilings are closed, test the duct network at 200 Pa. A leakage of up to 5 % of the "
            "nominal air volume is acceptable. Seal joints with cold-shrink tape, not with ordinary "
            "adhesive tape, which lets go after a few years."
        ),
    ]


def wiring() -> list[Flowable]:
    """Chapter 5, with the terminal compartment as Figure 2."""
    rows = [("Terminal", "Core", "Connection"), *TERMINALS]
    return [
        chapter("5 Wiring"),
        callout("WARNING", "Only a qualified electrician may open the terminal compartment. See chapter 2."),
        text(
            "The unit has a mains lead of 1.8 m with a moulded plug. Where a fixed connection is "
            "preferred, use a cable of 3 x 1.5 mm² behind a circuit breaker of 6 A, type C, and a residual "
            "current device of 30 mA. The internal fuse is a slow-blow glass fuse of 2 A."
        ),
        figure(
            terminal_compartment(),
            128,
            "Figure 2: Terminal compartment seen from the front. Keep mains and low-voltage cables apart.",
        ),
        *grid(rows, (22, 34, 114), "Table 2: Terminals of the Larkwind 150"),
    ]


def wiring_notes() -> list[Flowable]:
    """The end of chapter 5 and chapter 6."""
    return [
        section("5.1 Room control and sensors"),
        text(
            "Connect the room control with a shielded cable of 4 x 0.25 mm². The cable may be up to 50 m "
            "long; the shield is connected at the unit only. Up to three room controls can be joined to "
            "one unit, and the last one in the line gets the terminating resistor of 120 ohms that lies in "
            "the bag with the screws."
        ),
        text(
            "The stove interlock is delivered with a wire link between terminals 9 and 10. Remove the link "
            "only if a pressure monitor is connected; without either, the unit does not start and shows "
            "error E09."
        ),
        chapter("6 Commissioning"),
        text(
            "Commissioning takes about an hour and is the job of a service partner. The first start after "
            "power-on lasts 90 seconds: the unit moves the bypass once from end to end and runs both fans "
            "up and down."
        ),
        *steps(
            "Check filters, drain and ducts; close every window and inner door.",
            "Open the installer menu: press and hold Menu and Up together for five seconds, then enter 4711.",
            "Choose the air volume from Table 3 and set the supply fan so that the sum of all supply "
            "valves reaches it.",
            "Adjust the extract fan until the two sums differ by no more than 5 %.",
            "Write supply, extract, date and name onto the commissioning label and stick it inside the "
            "front door.",
            "Send the registration card, or register the unit online, within 60 days.",
        ),
        *grid(
            [
                ("Dwelling", "People", "Air volume, Normal", "Air volume, Boost"),
                ("up to 50 m²", "1 to 2", "60 m³/h", "90 m³/h"),
                ("50 to 70 m²", "2 to 3", "80 m³/h", "115 m³/h"),
                ("70 to 90 m²", "3 to 4", "105 m³/h", "150 m³/h"),
                ("above 90 m²", "4 and more", "use a Larkwind 300", "use a Larkwind 300"),
            ],
            (44, 34, 46, 46),
            "Table 3: Recommended air volumes",
        ),
        Spacer(1, 2),
    ]


def break_to(template: str) -> list[Flowable]:
    """Begin a new page of a template: cover, plain or columns."""
    return [NextPageTemplate(template), PageBreak()]

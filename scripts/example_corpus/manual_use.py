"""Chapters 7 to 11 of the Larkwind 150 manual: living with the unit."""

from __future__ import annotations

from reportlab.platypus import Flowable, FrameBreak

from example_corpus.facts import ERRORS, FAULTS
from example_corpus.layout import bullets, callout, chapter, grid, section, steps, text


def operation() -> list[Flowable]:
    """Chapter 7, first page."""
    return [
        chapter("7 Operation"),
        text(
            "The unit is made to run day and night. Switching it off to save electricity is false economy: "
            "moisture stays in the rooms, and the heating has to work against windows that are opened "
            "instead. In normal mode the unit draws 24 W, about as much as two LED lamps."
        ),
        section("7.1 Modes"),
        *grid(
            [
                ("Mode", "Fan speed", "When to use it"),
                ("Away", "20 %", "Nobody at home for a day or longer"),
                ("Low", "40 %", "One person at home, cold and dry winter days"),
                ("Normal", "60 %", "Everyday use"),
                ("Boost", "100 %", "Showering, cooking, guests; ends by itself after 30 minutes"),
                ("Auto", "30 to 80 %", "Follows the CO2 sensor and the humidity of the extract air"),
            ],
            (28, 32, 110),
            "Table 4: Modes and fan speeds",
        ),
        text(
            "Press the Mode key until the display shows the wanted mode. Boost can also be started with a "
            "push button in the bathroom; pressing the button a second time ends it early."
        ),
        section("7.2 Auto mode"),
        text(
            "Auto mode aims at 800 ppm of CO2 and at a relative humidity of no more than 60 %. The fans "
            "are adjusted once a minute in small steps, so that nobody hears the change. Without a CO2 "
            "sensor, only humidity counts."
        ),
        section("7.3 Holiday"),
        text(
            "Before a journey, open Menu, Holiday, and enter the date of return. The unit runs in Away "
            "mode and changes to Boost for two hours on the evening before you come back, so that the "
            "house smells fresh."
        ),
        section("7.4 Summer nights"),
        text(
            "With Night Cooling switched on in the menu, the unit runs at 80 % between 22:00 and 06:00 as "
            "long as the bypass is open. This does not replace an air conditioner: expect the rooms to "
            "become two to three degrees cooler by the morning."
        ),
        section("7.5 Child lock"),
        text(
            "Press and hold the Down key for four seconds to lock the room control; a small padlock "
            "appears. The same gesture unlocks it. While the lock is on, the stove interlock and the error "
            "display keep working."
        ),
        callout(
            "NOTE",
            "A slight draught of cool air below a supply valve on very cold days is normal. If it disturbs "
            "you, turn the disc of the valve so that the air is directed along the ceiling.",
        ),
    ]


def menus(column_width: float) -> list[Flowable]:
    """Chapter 7, second page, in two columns."""
    narrow = column_width / 2.8346 / 2
    return [
        section("7.6 Menu overview"),
        text(
            "The menu of the room control has four branches. Values marked with a spanner can be changed "
            "only after the installer code has been entered."
        ),
        *bullets(
            "<b>Mode:</b> timetable, Night Cooling, Holiday",
            "<b>Display:</b> language, brightness, screen saver",
            "<b>Filters:</b> days left, reset, type of filter",
            "<b>Service:</b> air volumes, sensors, fault memory",
        ),
        text(
            "The display goes dark after 60 seconds. The fault memory keeps the last 20 errors with date "
            "and time, even through a power cut."
        ),
        section("7.7 Timetable"),
        text(
            "Up to six switching times can be set for each day. A mode that was chosen by hand stays until "
            "the next switching time. The clock keeps going for 72 hours without mains; after that the "
            "unit asks for date and time, and runs in Normal until it has been told."
        ),
        section("7.8 Second room control"),
        text(
            "If several room controls are fitted, all show the same mode. Language and brightness belong "
            "to each of them alone."
        ),
        FrameBreak(),
        section("7.9 Factory settings"),
        *grid(
            [
                ("Setting", "Value on delivery"),
                ("Mode", "Normal"),
                ("Language", "English"),
                ("Brightness", "70 %"),
                ("Boost duration", "30 minutes"),
                ("CO2 target", "800 ppm"),
                ("Humidity limit", "60 %"),
                ("Bypass", "automatic"),
                ("Night Cooling", "off"),
                ("Filter reminder", "180 days"),
                ("Frost protection", "on"),
                ("Installer code", "4711"),
            ],
            (narrow, narrow),
            "Table 5: Factory settings",
        ),
        text(
            "To return to these values, open Menu, Service, Reset, and confirm with Up and Down together. "
            "Air volumes that were set at commissioning are not touched by the reset."
        ),
        section("7.10 Radio and app"),
        text(
            "The Larkwind 150 has no radio of its own. A wireless module can be added later; it is plugged "
            "onto the main circuit board and needs a network of 2.4 GHz. The unit never sends data to the "
            "manufacturer unless remote service has been allowed in the menu, and the permission ends by "
            "itself after 14 days."
        ),
    ]


def maintenance() -> list[Flowable]:
    """Chapter 8, first page."""
    return [
        chapter("8 Maintenance"),
        text(
            "Regular care keeps the air clean and the unit quiet. The room control reminds you of the "
            "filters; the other intervals are best entered in a calendar. The table below applies to a "
            "dwelling in an ordinary neighbourhood. Near building sites, busy roads or fields, halve the "
            "intervals of the filters."
        ),
        *grid(
            [
                ("Part", "Work", "Interval", "Who"),
                ("Supply filter", "Replace", "6 months", "Resident"),
                ("Extract filter", "Replace", "6 months", "Resident"),
                ("Valves in the rooms", "Wipe, wash grease filter", "3 months", "Resident"),
                ("Outdoor grilles", "Clear of leaves and webs", "12 months", "Resident"),
                ("Condensate trap", "Rinse, check the ball", "12 months, before winter", "Resident"),
                ("Heat exchanger", "Rinse, check the seals", "2 years", "Service partner"),
                ("Fans", "Brush the impellers, listen to bearings", "2 years", "Service partner"),
                ("Bypass damper", "Move by hand, check the motor", "4 years", "Service partner"),
                ("Duct network", "Inspect, clean if needed", "8 years", "Specialist firm"),
                ("Stove interlock", "Test with the pressure monitor", "12 months", "Electrician"),
            ],
            (40, 58, 42, 30),
            "Table 6: Maintenance intervals",
        ),
        section("8.1 Changing the filters"),
        *steps(
            "Open the front door. The fans stop by themselves after a few seconds.",
            "Pull the two filters out by their tabs. The upper slot holds the supply filter, the lower "
            "slot the extract filter.",
            "Carry the old filters outdoors in a bag; they go into household waste.",
            "Push in the new filters with the arrow on the frame pointing towards the exchanger.",
            "Close the door, open Menu, Filters, Reset, and confirm. The reminder then counts from 180 "
            "days again.",
        ),
        callout(
            "NOTE",
            "Filters cannot be washed or blown out with compressed air: the charged fibres lose most of "
            "their effect.",
        ),
        section("8.2 Cleaning the housing"),
        text(
            "Wipe the housing with a damp cloth and a little washing-up liquid. Scouring agents, solvents "
            "and steam cleaners damage the coating."
        ),
    ]


def exchanger() -> list[Flowable]:
    """Chapter 8, second page."""
    return [
        section("8.3 Rinsing the heat exchanger"),
        text(
            "The exchanger is drawn out like a drawer after the two knurled screws on its frame have been "
            "loosened. Put on gloves, spread a towel on the floor and note which side is marked TOP."
        ),
        *steps(
            "Remove loose dust with a soft brush. Do not use a vacuum cleaner with a hard nozzle.",
            "Rinse both directions with a hand shower. The water must not be warmer than 40 °C, and the "
            "pressure no higher than that of a household tap.",
            "If grease is visible, leave the exchanger for 15 minutes in water with a mild detergent and "
            "rinse again.",
            "Let it drip and dry on edge for at least two hours before putting it back.",
            "Check the seals along the frame. Brittle or flattened seals are replaced with LW-1310.",
        ),
        callout(
            "CAUTION",
            "The enthalpy exchanger has a membrane that swells in warm water. It is rinsed with cold water "
            "only, and without any detergent.",
        ),
        section("8.4 Trap and tray"),
        text(
            "Unscrew the trap, rinse it and see whether the ball moves freely. Wipe the condensate tray "
            "with vinegar diluted one to five; this removes the film that forms in summer. Fill the trap "
            "with water before the first frost of the year."
        ),
        section("8.5 Fans"),
        text(
            "Service partners remove the inner panel, unplug the fan and slide it out on its rubber "
            "mounts. The impeller is brushed dry: the small clips on its blades are balancing weights and "
            "must stay where they are. A bearing that can be heard as a dry rattle at low speed should be "
            "replaced together with its fan."
        ),
        section("8.6 Maintenance record"),
        *grid(
            [
                ("Date", "Work done", "Name"),
                ("&nbsp;", "", ""),
                ("&nbsp;", "", ""),
                ("&nbsp;", "", ""),
                ("&nbsp;", "", ""),
            ],
            (34, 90, 46),
        ),
        section("8.7 Taking the unit out of service"),
        text(
            "If the unit is to stand still for longer than four weeks, take out the filters, empty the "
            "trap, pull the plug and close the outdoor openings. Fit new filters before it runs again."
        ),
    ]


def troubleshooting() -> list[Flowable]:
    """Chapter 9."""
    return [
        chapter("9 Troubleshooting"),
        text(
            "When something is wrong, the red lamp of the room control lights up and the display shows a "
            "code. Note the code before pulling the plug: some faults disappear with a restart and leave "
            "their trace only in the fault memory."
        ),
        *grid(
            [
                ("Code", "Meaning", "What to do"),
                *ERRORS,
            ],
            (16, 62, 92),
            "Table 7: Error codes",
        ),
        section("9.1 Faults without a code"),
        *grid(
            [
                ("What you notice", "Likely cause", "Remedy"),
                *FAULTS,
            ],
            (48, 58, 64),
            "Table 8: Noises, smells and moisture",
        ),
        text(
            "If none of this helps, write to service@tarnholt.example or call +44 1632 960144 on working "
            "days between 8:00 and 17:00. Have the serial number and the software version at hand; both "
            "are shown under Menu, Service."
        ),
    ]


def technical_data() -> list[Flowable]:
    """Chapter 10."""
    return [
        chapter("10 Technical data"),
        *grid(
            [
                ("Property", "Larkwind 150", "Remark"),
                ("Largest air volume", "150 m³/h", "at 100 Pa external pressure"),
                ("Nominal air volume", "105 m³/h", "at 50 Pa external pressure"),
                ("Heat recovery", "88 %", "aluminium exchanger, nominal air volume"),
                ("Heat recovery, enthalpy exchanger", "79 %", "nominal air volume"),
                ("Power consumption, Normal", "24 W", "both fans, without preheater"),
                ("Largest power consumption", "62 W", "without preheater"),
                ("Standby consumption", "0.8 W", "Away key held for six seconds"),
                ("Sound power level", "34 dB(A)", "housing, nominal air volume"),
                ("Supply voltage", "230 V AC, 50 Hz", "single phase"),
                ("Internal fuse", "T 2 A", "5 x 20 mm"),
                ("Degree of protection", "IP21", ""),
                ("Duct connections", "4 x 125 mm", "with double lip seal"),
                ("Condensate spigot", "20 mm", "male thread 3/4 inch"),
                ("Height x width x depth", "610 x 560 x 290 mm", "without spigots"),
                ("Weight", "21 kg", "without packaging"),
                ("Place of installation", "5 to 40 °C", "frost-free"),
                ("Outdoor temperature", "-15 to 40 °C", "down to -25 °C with preheater"),
                ("Supply filter", "ISO ePM1 55 %", "287 x 130 x 48 mm"),
                ("Extract filter", "ISO ePM10 50 %", "287 x 130 x 48 mm"),
                ("Housing", "steel sheet, powder-coated", "colour RAL 9016"),
                ("Inner shell", "expanded polypropylene", "recyclable"),
                ("Energy class", "A", "A+ with CO2 sensor"),
            ],
            (58, 52, 60),
            "Table 9: Technical data of the Larkwind 150",
        ),
        section("10.1 Sound in the duct"),
        *grid(
            [
                ("Air volume", "Supply spigot", "Extract spigot", "Housing"),
                ("60 m³/h", "44 dB(A)", "37 dB(A)", "28 dB(A)"),
                ("105 m³/h", "53 dB(A)", "45 dB(A)", "34 dB(A)"),
                ("150 m³/h", "61 dB(A)", "52 dB(A)", "41 dB(A)"),
            ],
            (44, 42, 42, 42),
            "Table 10: Sound power levels",
        ),
        text("All values are subject to the usual manufacturing tolerance of plus or minus 5 %."),
    ]


def warranty() -> list[Flowable]:
    """Chapter 11."""
    return [
        chapter("11 Warranty, service and disposal"),
        section("11.1 Warranty"),
        text(
            "Tarnholt Ventilation gives a warranty of five years on the Larkwind 150, counted from the day "
            "of commissioning. The condition is that the unit is registered within 60 days after "
            "commissioning; for units that were not registered, the warranty ends after two years. The "
            "aluminium heat exchanger is covered for ten years in either case."
        ),
        text(
            "Filters, fuses and seals are wearing parts and are not covered. The warranty lapses if the "
            "unit was run without filters, if it was used to dry out a building, or if parts from other "
            "manufacturers were fitted. It is tied to the dwelling: whoever buys the house takes over what "
            "remains of it."
        ),
        section("11.2 Making a claim"),
        *steps(
            "Read the code and the serial number under Menu, Service.",
            "Send both, with the invoice and a photograph of the commissioning label, to "
            "service@tarnholt.example.",
            "You receive a case number within two working days. Please do not send parts without it.",
        ),
        text(
            "A replaced part carries the remaining warranty of the unit, but at least twelve months. "
            "Travel and labour are free of charge during the first two years; afterwards only the parts "
            "are."
        ),
        section("11.3 Spare parts"),
        text(
            "We keep spare parts available for 15 years after the last unit of a series was built. Numbers "
            "and prices are found in the current price list. Filters can be delivered by subscription, in "
            "spring and in autumn."
        ),
        section("11.4 Disposal"),
        text(
            "The unit belongs neither in household waste nor in the skip of a building site. Local "
            "collection points take it free of charge; service partners take the old unit back when a new "
            "one is fitted. The inner shell of expanded polypropylene can be recycled by type, and the "
            "aluminium exchanger has scrap value. The room control contains a button cell (CR2032), which "
            "has to be collected separately."
        ),
        section("11.5 Manufacturer"),
        text(
            "Tarnholt Ventilation, Mill Race 12, Eastbeck EB4 7TN<br/>"
            "service@tarnholt.example, +44 1632 960144"
        ),
        text(
            "Registered service partners are listed at www.tarnholt.example/partners. Suggestions for this "
            "manual are welcome: every one is read by the person who wrote it."
        ),
    ]
